"""From a fitted scikit-learn pipeline to a compiled one: lowering to an ONNX graph, and the proof that both answer alike."""
