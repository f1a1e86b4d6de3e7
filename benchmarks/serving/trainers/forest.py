"""A random forest of 100 trees."""

from sklearn.ensemble import RandomForestClassifier

from lifecycle.contract import Contract


def make_model(_: Contract) -> RandomForestClassifier:
    return RandomForestClassifier(n_estimators=100)
