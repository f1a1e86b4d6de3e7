"""JSON schemas of what the service takes and gives, for its description."""

from typing import Any

Schema = dict[str, Any]

SCALAR: Schema = {"type": ["number", "string", "boolean", "null"]}
ROW: Schema = {"type": "object", "additionalProperties": SCALAR}
BINARY: Schema = {"type": "string", "format": "binary"}
TEXT: Schema = {"type": "string"}
IDENTIFIER: Schema = {"type": "string", "description": "Names the prediction in feedback."}


def listing(items: Schema, least: int = 0) -> Schema:
    return {"type": "array", "items": items} | ({"minItems": least} if least else {})


def fields(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    """An object with these fields, and possibly others."""
    return {"type": "object", "properties": required | (optional or {}), "required": list(required)}


NATIVE_ERROR = fields(
    {
        "error": fields(
            {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "details": listing(
                    fields(
                        {
                            "row": {"type": ["integer", "null"]},
                            "field": {"type": ["string", "null"]},
                            "problem": {"type": "string"},
                        }
                    )
                ),
            }
        ),
        "request_id": {"type": "string"},
    }
)
PREDICT_REQUEST = fields({"rows": listing(ROW, least=1)})
PREDICT_RESPONSE = fields(
    {
        "request_id": {"type": "string"},
        "model": {"type": "string"},
        "version": {"type": "integer"},
        "predictions": listing(
            fields(
                {"id": IDENTIFIER, "prediction": {"type": ["number", "string", "boolean"]}},
                {"probabilities": {"type": "object", "additionalProperties": {"type": "number"}}},
            )
        ),
    }
)
_LABEL: Schema = {"label": {"type": ["number", "string", "boolean"]}}
_OBSERVED: Schema = {"observed_at": {"type": "string", "format": "date-time"}}
EXTERNAL_ID: Schema = {"type": ["string", "number"], "description": "The caller's own id of the row."}
FEEDBACK_REQUEST = fields(
    {
        "labels": listing(
            {
                "oneOf": [
                    fields({"id": IDENTIFIER, **_LABEL}, _OBSERVED),
                    fields({"external_id": EXTERNAL_ID, **_LABEL}, _OBSERVED),
                ]
            }
        )
    }
)
FEEDBACK_RESPONSE = fields(
    {
        "accepted": {"type": "integer"},
        "rejected": listing(
            fields(
                {
                    "place": {"type": "integer", "minimum": 0, "description": "In the list of labels, from 0."},
                    "id": {"type": ["string", "null"]},
                    "reason": {"type": "string"},
                },
                {"external_id": TEXT},
            )
        ),
    }
)
READINESS = fields({"status": {"enum": ["ready", "degraded"]}}, {"reason": TEXT})
MODEL = fields(
    {
        "name": {"type": "string"},
        "version": {"type": "integer"},
        "generation": {"type": "integer"},
        "contract": {"type": "object"},
        "created_at": {"type": "string"},
        "parent": {"type": ["integer", "null"]},
        "metrics": {"type": "object"},
        "lineage": {"type": "object"},
    }
)
ANY_OBJECT: Schema = {"type": "object"}
ANY_LIST: Schema = {"type": "array"}
ARRAY = listing(SCALAR)
ROWS: Schema = {"type": "array", "items": {"anyOf": [ROW, ARRAY, SCALAR]}, "minItems": 1}
"""Objects, arrays in the order of the features, or bare values where there is one feature."""
COLUMNS: Schema = {"type": "object", "additionalProperties": ARRAY}
OPTIONS: Schema = {"type": "object", "properties": {"probabilities": {"type": "boolean"}}}
SPLIT = fields({"columns": listing({"type": "string"}), "data": listing(ARRAY, least=1)}, {"index": ANY_LIST})
PREDICTIONS = fields({"predictions": ANY_LIST})
INSTANCES = fields({"instances": ROWS}, {"parameters": OPTIONS})
INSTANCES_OR_INPUTS: Schema = {
    "oneOf": [
        fields({"instances": ROWS}, {"signature_name": TEXT}),
        fields({"inputs": {"anyOf": [COLUMNS, ROWS]}}, {"signature_name": TEXT}),
    ]
}
INVOCATION: Schema = {
    "oneOf": [
        fields({"dataframe_split": SPLIT}, {"params": OPTIONS}),
        fields({"dataframe_records": listing(ROW, least=1)}, {"params": OPTIONS}),
        fields({"instances": ROWS}, {"params": OPTIONS}),
        fields({"inputs": {"anyOf": [COLUMNS, ROWS]}}, {"params": OPTIONS}),
    ]
}
INPUT_DATA = fields({"input_data": {"anyOf": [SPLIT, ROWS]}}, {"params": OPTIONS})
ROW_OR_ROWS: Schema = {"anyOf": [ROW, ROWS]}
PREDICTION_OR_LIST: Schema = {"type": ["object", "array"]}
