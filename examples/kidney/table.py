"""The table that train.py learns from: the public chronic-kidney-disease file, or one like it.

Both have the same 24 columns, mixing whole numbers, decimals, yes-or-no words and gaps.
"""

import csv
import random

NUMBERS = {
    # column: (mean of the healthy, mean of the ill, spread, decimals)
    "age": (46, 55, 14, 0),
    "bp": (71, 80, 9, 0),
    "sg": (1.022, 1.014, 0.003, 3),
    "al": (0, 2, 1, 0),
    "su": (0, 1, 1, 0),
    "bgr": (108, 175, 35, 0),
    "bu": (33, 72, 20, 0),
    "sc": (0.9, 4.4, 1.2, 1),
    "sod": (142, 134, 5, 0),
    "pot": (4.3, 4.9, 0.6, 1),
    "hemo": (15.2, 10.6, 1.8, 1),
    "pcv": (46, 33, 5, 0),
    "wc": (7700, 9070, 2200, 0),
    "rc": (5.4, 3.9, 0.6, 1),
}
WORDS = {
    # column: (the word for 0, the word for 1, its share among the ill)
    "rbc": ("normal", "abnormal", 0.4),
    "pc": ("normal", "abnormal", 0.4),
    "pcc": ("notpresent", "present", 0.2),
    "ba": ("notpresent", "present", 0.1),
    "htn": ("no", "yes", 0.6),
    "dm": ("no", "yes", 0.55),
    "cad": ("no", "yes", 0.15),
    "appet": ("good", "poor", 0.3),
    "pe": ("no", "yes", 0.3),
    "ane": ("no", "yes", 0.25),
}
# fmt: off
COLUMNS = [
    "age", "bp", "sg", "al", "su", "rbc", "pc", "pcc", "ba", "bgr", "bu", "sc", "sod", "pot",
    "hemo", "pcv", "wc", "rc", "htn", "dm", "cad", "appet", "pe", "ane",
]
# fmt: on


def number(column, text):
    """Return a cell as a number: gaps ("", "?") are NaN, words are 0 or 1, tabs are dropped."""
    text = text.strip()
    if text in {"", "?"}:
        return float("nan")
    if column in WORDS:
        return float(WORDS[column].index(text))
    return float(text)


def read_csv(path):
    """Return (rows, labels) of the public file kidney_disease.csv; label 1 is the disease."""
    with path.open(newline="") as file:
        records = list(csv.DictReader(file))
    rows = [[number(column, record[column]) for column in COLUMNS] for record in records]
    return rows, [int(record["classification"].strip() == "ckd") for record in records]


def make_up(count=400, seed=1):
    """Return (rows, labels) of a made-up table: 5 in 8 are ill, one cell in ten is missing."""
    chance = random.Random(seed)  # noqa: S311 - a made-up table, not a secret

    def cell(column, ill):
        if chance.random() < 0.1:
            return float("nan")
        if column in WORDS:
            return float(ill and chance.random() < WORDS[column][2])
        healthy_mean, ill_mean, spread, decimals = NUMBERS[column]
        value = chance.gauss(ill_mean if ill else healthy_mean, spread)
        return round(max(value, 0.0), decimals)

    labels = [int(chance.random() < 0.625) for _ in range(count)]
    return [[cell(column, label) for column in COLUMNS] for label in labels], labels
