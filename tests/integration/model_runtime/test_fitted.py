"""What a replica learns from a fitted model, and that it answers as the model itself does."""

import importlib.util
import json
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    StandardScaler,
)
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from model_runtime import inputs, loaders, manifest, protocol, selftest
from model_runtime.loaders.base import LoadError
from model_runtime.manifest import Manifest
from model_runtime.refusals import InputError, PartlyFailedError
from model_runtime.signature import UNUSED
from tests import fitted

pd = pytest.importorskip("pandas")

TABLES = ("mixed", "searched", "calibrated", "gradient", "xgboost", "lightgbm")
NUMBERS = ("numbers", "regression", "forest")
TEXTS = ("text", "counted_text")
HAS_CATBOOST = importlib.util.find_spec("catboost") is not None
"""It is tried where it is there: the environment of tests has it not, as it takes 270 MB."""


def loaded(tmp_path, model: Any, **values: Any):
    """Return a model loaded from a bundle, and the report of its test call."""
    (tmp_path / "files").mkdir(parents=True)
    fitted.dump(model, tmp_path / "files" / "m.pkl")
    given: dict[str, Any] = {"loader": "pickle", "kind": "pickle", "file": "m.pkl"}
    manifest.write(Manifest(**(given | {"input_type": "auto"} | values)), tmp_path)
    found = loaders.load(tmp_path)
    return found, selftest.test_call(found, manifest.read(tmp_path), -1)


def answers(found, values: list[Any]) -> list[Any]:
    """Return what a loaded model answers to a batch."""
    batch = inputs.pack(values, found.input_type, found.signature)
    return [json.loads(text) for text in found.predictor.predict(batch)]


def fault(tmp_path, model: Any, **values: Any) -> LoadError:
    """Return why a model was refused."""
    with pytest.raises(LoadError) as caught:
        loaded(tmp_path, model, **values)
    return caught.value


@pytest.mark.parametrize("name", [*TABLES, *NUMBERS])
def test_a_model_of_a_table_answers_as_itself(tmp_path, name):
    """Nothing is said but the file: one by one and as a batch, bit for bit."""
    model, frame = getattr(fitted, name)()
    found, report = loaded(tmp_path, model, method="predict")
    assert report.state == "ok"
    used = [name for name, schema in found.signature.fields.items() if schema != UNUSED]
    assert list(report.input) == used
    assert set(found.signature.fields) == set(frame.columns)
    few = frame.iloc[:7]
    wanted = model.predict(few).tolist()
    assert answers(found, fitted.as_inputs(few)) == wanted
    assert [answers(found, [each])[0] for each in fitted.as_inputs(few)] == [
        model.predict(few.iloc[at : at + 1]).tolist()[0] for at in range(len(few))
    ]


@pytest.mark.parametrize("name", [*TABLES, "numbers", "forest"])
def test_probabilities_are_the_models_own(tmp_path, name):
    """Floats in all their digits, so that a difference in the last bit would show."""
    model, frame = getattr(fitted, name)()
    found, _ = loaded(tmp_path, model, method="predict_proba")
    for at in range(5):
        row = frame.iloc[at : at + 1]
        assert answers(found, fitted.as_inputs(row)) == model.predict_proba(row).tolist()


@pytest.mark.parametrize("name", TEXTS)
def test_a_model_of_texts_answers_as_itself(tmp_path, name):
    """Its inputs are texts, though nobody says so."""
    model, notes = getattr(fitted, name)()
    found, report = loaded(tmp_path, model)
    assert found.input_type == "strings"
    assert found.signature.value == {"type": "string"}
    assert report.state == "ok"
    assert answers(found, notes[:4].tolist()) == model.predict(notes[:4]).tolist()


def test_what_is_learnt_of_each_kind_of_column(tmp_path):
    """Types, what may be missing, and the only values that an encoder takes."""
    model, _ = fitted.mixed()
    signature = loaded(tmp_path, model)[0].signature
    assert signature.input_type == "rows"
    assert signature.fields == {
        "age": {"type": ["number", "null"], "default": None},
        "income": {"type": ["number", "null"], "default": None},
        "city": {
            "type": ["string", "null"],
            "enum": ["Bergen", "Oslo", None],
            "default": None,
        },
        "rooms": {"type": "integer", "enum": [1, 2, 3, 4]},
        "plan": {"type": "string", "enum": ["a", "b", "c"]},
        "is_new": {"default": None},
        "since": {"type": "string", "format": "date-time"},
        "note": {"type": "string"},
        "id": {"default": None},
    }
    assert signature.required == ("rooms", "plan", "since", "note")
    assert signature.output == {"enum": ["no", "yes"]}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_alone_stay_numbers(tmp_path, name):
    """They are packed as such, and have their names all the same."""
    model, frame = getattr(fitted, name)()
    found, report = loaded(tmp_path, model)
    assert found.input_type == "doubles"
    assert list(found.signature.fields) == list(frame.columns)
    assert found.row_items == 3
    assert report.input == {"income": 1.0, "rooms": 1.0, "id": 1.0}
    answers(found, [[1.0, 2.0, 3.0]])  # a warning that names are missing would fail this test


@pytest.mark.parametrize(
    ("name", "column", "schema"),
    [
        ("gradient", "plan", {"type": ["string", "null"], "enum": ["a", "b", "c", None]}),
        ("gradient", "age", {"type": ["number", "null"]}),
        ("xgboost", "age", {"type": ["number", "null"]}),
        ("xgboost", "rooms", {"type": ["integer", "null"]}),
        ("xgboost", "is_new", {"type": ["boolean", "null"]}),
        ("xgboost", "plan", {"type": ["string", "null"], "enum": ["c", "b", "a", None]}),
        ("lightgbm", "age", {"type": ["number", "null"]}),
        ("lightgbm", "plan", {"type": ["string", "null"], "enum": ["c", "b", "a", None]}),
    ],
)
def test_boosters_know_their_columns(tmp_path, name, column, schema):
    """They take what is missing everywhere, and the categories that they were fitted on."""
    found, _ = loaded(tmp_path, getattr(fitted, name)()[0])
    assert found.signature.fields[column] == schema | {"default": None}
    assert found.signature.required == ()


@pytest.mark.parametrize("others", [[], ["plan"]], ids=["alone", "beside others"])
def test_lightgbm_does_not_name_the_columns_of_its_ordered_categories(tmp_path, others):
    """They are found by how many there are, wherever they lie, and so are the answers."""
    library = fitted.boosting("lightgbm")
    frame = fitted.table()[["age", *others, "is_new", "rooms"]]
    sizes = ["S", "M", "L", None, "M"] * 8
    frame.insert(1, "size", pd.Categorical(sizes, ["S", "M", "L"], ordered=True))
    model = library.LGBMClassifier(n_estimators=4, verbose=-1, min_child_samples=2, n_jobs=1)
    model.fit(frame, fitted.LABELS)
    found, report = loaded(tmp_path, model)
    assert report.state == "ok", report.reason
    assert found.signature.fields["size"]["enum"] == ["S", "M", "L", None]
    assert all(len(found.signature.fields[name]["enum"]) == 4 for name in others)
    assert found.signature.fields["is_new"]["type"] == ["number", "boolean", "null"]
    assert answers(found, fitted.as_inputs(frame)) == model.predict(frame).tolist()


if HAS_CATBOOST:

    @pytest.mark.parametrize("name", ["catboost", "catboost_regression"])
    def test_catboost_answers_as_itself(tmp_path, name):
        """Its labels of several classes are one for each input, and no lists of one."""
        model, frame = getattr(fitted, name)()
        found, report = loaded(tmp_path, model)
        assert (found.input_type, report.state) == ("rows", "ok")
        wanted = model.predict(frame[:5]).reshape(-1).tolist()
        assert answers(found, fitted.as_inputs(frame[:5])) == wanted
        found, _ = loaded(tmp_path / "steps", make_pipeline(model))
        assert answers(found, fitted.as_inputs(frame[:5])) == wanted

    def test_what_catboost_knows_of_its_columns(tmp_path):
        """Of categories it has hashes, and takes any; numbers may be missing."""
        model, frame = fitted.catboost()
        found, _ = loaded(tmp_path, model, output="both")
        label = {"type": ["string", "integer", "boolean"]}
        number = {"type": ["number", "boolean", "null"], "default": None}
        assert found.signature.fields == {
            "age": number,
            "rooms": label,
            "is_new": number,
            "plan": label,
            "note": label,
        }
        assert found.signature.required == ("rooms", "plan", "note")
        told = answers(found, fitted.as_inputs(frame[:2]))
        assert [each["label"] for each in told] == model.predict(frame[:2]).reshape(-1).tolist()
        assert [[*each["probabilities"].values()] for each in told] == model.predict_proba(
            frame[:2]
        ).tolist()
        rows = fitted.as_inputs(frame[:2])
        with pytest.raises(PartlyFailedError) as caught:
            answers(found, [rows[0], rows[1] | {"plan": None}])
        assert "plan: wanted a text, a whole number" in str(caught.value.outcomes[1].error)

    def test_catboost_without_names_of_columns(tmp_path):
        """Numbers are a list of them; with categories among them columns are named by place."""
        library = pytest.importorskip("catboost")
        frame = fitted.table()[["rooms", "note"]].astype(object)
        kinds = {"iterations": 3, "verbose": 0, "allow_writing_files": False, "thread_count": 1}
        table = fitted.numbers()[1].to_numpy()
        numbers = library.CatBoostRegressor(**kinds).fit(table, table[:, 0])
        found, _ = loaded(tmp_path, numbers)
        assert (found.input_type, found.row_items) == ("doubles", 3)
        assert answers(found, table[:3].tolist()) == numbers.predict(table[:3]).tolist()
        model = library.CatBoostClassifier(cat_features=[0, 1], **kinds)
        model.fit(frame.to_numpy(), fitted.LABELS)
        found, _ = loaded(tmp_path / "named", model)
        assert list(found.signature.fields) == ["x0", "x1"]
        wanted = model.predict(frame[:4].to_numpy()).tolist()
        assert answers(found, frame[:4].to_numpy().tolist()) == wanted


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (lambda column: np.asarray(np.log1p(column)), {"type": "number"}),
        (lambda column: np.asarray(column.map(len)).reshape(-1, 1), {"type": "string"}),
        (
            lambda column: np.asarray(column.dt.year).reshape(-1, 1),
            {"type": "string", "format": "date-time"},
        ),
        (
            lambda column: np.asarray(pd.to_datetime(column).dt.year).reshape(-1, 1),
            {"type": "string", "format": "date-time"},
        ),
        (lambda column: np.asarray(column.astype(str).str.len()).reshape(-1, 1), {}),
    ],
    ids=["number", "text", "date", "text of a date", "anything"],
)
def test_what_a_function_takes_is_tried(tmp_path, function, kind):
    """A part of the author's own code says nothing of its columns, but it answers or raises."""
    values = {
        "number": [1.0, 2.0],
        "string": ["ab", "abc"],
        "date": pd.to_datetime(["2020-01-01", "2021-01-01"]),
    }
    name = "date" if "format" in kind else kind.get("type", "string")
    frame = pd.DataFrame({"x": values[name]})
    wrapped = FunctionTransformer(lambda x: np.asarray(function(x)).reshape(-1, 1))
    columns = ColumnTransformer([("own", wrapped, "x")])
    model = make_pipeline(columns, LinearRegression()).fit(frame, [0, 1])
    found, report = loaded(tmp_path, model)
    assert found.signature.fields == {"x": kind}
    assert report.state == "ok"
    assert answers(found, fitted.as_inputs(frame)) == model.predict(frame).tolist()


class Ages(BaseEstimator, TransformerMixin):
    """Adds a column to a table, as people's own first steps do."""

    def fit(self, x, y=None):
        """Keep the names, as scikit-learn's own parts do."""
        del y
        self.feature_names_in_ = np.array(list(x.columns), dtype=object)
        return self

    def transform(self, x):
        """Make a year of a date, and leave the rest."""
        return x.assign(year=x["since"].dt.year).drop(columns="since")


def test_columns_are_followed_through_a_step_that_makes_others(tmp_path):
    """Names that stay mean the same before and after it; the date is found by trying."""
    frame = fitted.table()[["city", "income", "since"]]
    frame["city"] = frame["city"].fillna("Oslo")
    columns = ColumnTransformer(
        [("names", OneHotEncoder(), ["city"]), ("numbers", StandardScaler(), ["income", "year"])]
    )
    model = make_pipeline(Ages(), columns, LogisticRegression()).fit(frame, fitted.LABELS)
    found, _ = loaded(tmp_path, model)
    assert found.signature.fields == {
        "city": {"type": "string", "enum": ["Bergen", "Oslo"]},
        "income": {"type": "number"},
        "since": {"type": "string", "format": "date-time"},
    }
    assert answers(found, fitted.as_inputs(frame[:4])) == model.predict(frame[:4]).tolist()


@pytest.mark.parametrize(
    ("function", "last", "is_taken"),
    [
        (lambda dates: dates.dt.year.fillna(0), LinearRegression(), True),
        (lambda dates: dates.dt.year, LinearRegression(), False),
        (lambda dates: dates.dt.year, HistGradientBoostingClassifier(), True),
        (lambda dates: dates.dt.year.astype(int), LinearRegression(), False),
    ],
    ids=["filled in", "handed on and refused", "handed on and taken", "refused"],
)
def test_what_becomes_of_missing_values_in_own_code_is_tried(tmp_path, function, last, is_taken):
    """Null is taken where the author's own function makes a value of it, or what follows does."""
    frame = pd.DataFrame({"day": pd.date_range("2020-01-01", periods=40, freq="25D"), "n": 1.5})
    trained = frame.assign(day=frame["day"].where(frame.index % 3 > 0)) if is_taken else frame
    wrapped = FunctionTransformer(lambda x: np.asarray(function(x), float).reshape(-1, 1))
    columns = ColumnTransformer([("own", wrapped, "day"), ("rest", StandardScaler(), ["n"])])
    model = make_pipeline(columns, last).fit(trained, [0, 1] * 20)
    found, _ = loaded(tmp_path, model)
    assert ("null" in found.signature.fields["day"]["type"]) is is_taken
    assert answers(found, fitted.as_inputs(trained)) == model.predict(trained).tolist()


class Filled(BaseEstimator, TransformerMixin):
    """Fills in what is missing, as people's own first steps do."""

    def fit(self, x, y=None):
        """Keep the names, as scikit-learn's own parts do."""
        del y
        self.feature_names_in_ = np.array(list(x.columns), dtype=object)
        return self

    def transform(self, x):
        """Put a number in the place of nothing, in one of the columns."""
        return x.assign(a=x["a"].fillna(-1.0))


def test_a_first_step_that_fills_in_takes_null_in_what_it_fills_in_alone(tmp_path):
    """What follows refuses what is missing, and gets none in that column."""
    frame = pd.DataFrame({"a": [1.0, None, 3.0, 4.0], "b": [1.0, 5.0, 3.0, 4.0]})
    model = make_pipeline(Filled(), LinearRegression()).fit(frame, [0, 1, 1, 0])
    found, _ = loaded(tmp_path, model)
    assert found.signature.fields == {
        "a": {"type": ["number", "null"], "default": None},
        "b": {"type": "number"},
    }
    assert answers(found, fitted.as_inputs(frame)) == model.predict(frame).tolist()


def test_bools_among_numbers_are_taken(tmp_path):
    """A column that is passed on tells neither from the other."""
    frame = fitted.table()[["income", "is_new"]]
    columns = ColumnTransformer(
        [("numbers", StandardScaler(), ["income"])], remainder="passthrough"
    )
    model = make_pipeline(columns, LogisticRegression()).fit(frame, fitted.LABELS)
    found, _ = loaded(tmp_path, model)
    assert found.signature.fields["is_new"] == {"type": ["number", "boolean"]}
    asked = fitted.as_inputs(frame[:4])
    assert answers(found, asked) == model.predict(frame[:4]).tolist()
    assert answers(found, [each | {"is_new": int(each["is_new"])} for each in asked]) == answers(
        found, asked
    )


def test_columns_that_are_known_by_their_places(tmp_path):
    """Of an array of texts and numbers: they have the names that scikit-learn gives them."""
    values = fitted.table()[["income", "plan"]].astype(object).to_numpy()
    columns = ColumnTransformer([("p", OneHotEncoder(), [1]), ("i", StandardScaler(), [0])])
    model = make_pipeline(columns, LogisticRegression()).fit(values, fitted.LABELS)
    found, _ = loaded(tmp_path, model)
    assert found.signature.fields == {
        "x0": {"type": "number"},
        "x1": {"type": "string", "enum": ["a", "b", "c"]},
    }
    assert answers(found, values[:4].tolist()) == model.predict(values[:4]).tolist()


def test_a_model_of_objects_takes_any(tmp_path):
    """A vectorizer of dicts has no columns."""
    inputs_of = [{"plan": "a", "age": 1.0}, {"plan": "b", "age": 2.0}]
    model = make_pipeline(DictVectorizer(), LogisticRegression()).fit(inputs_of, ["no", "yes"])
    found, report = loaded(tmp_path, model)
    assert (found.input_type, report.state) == ("any", "ok")
    assert answers(found, inputs_of) == model.predict(inputs_of).tolist()


@pytest.mark.parametrize("broken", ["steps", "transformers_"])
def test_a_model_that_is_not_what_it_seems_is_served_as_it_is(tmp_path, broken):
    """Of another release, for example: nothing is learnt of its columns but their names."""
    model = _Twice()
    model.feature_names_in_ = np.array(["a", "b"], dtype=object)
    kind = {"steps": "Pipeline", "transformers_": "ColumnTransformer"}[broken]
    model.__class__ = type(kind, (_Twice,), {broken: 7})
    found, _ = loaded(tmp_path, model)
    assert found.signature.fields == {"a": {}, "b": {}}
    assert answers(found, [{"a": 1, "b": "x"}]) == [0.0]


# --- what the deployer says ---


def columns_of(**named: Any) -> dict[str, Any]:
    """Return the schema of an input with these columns."""
    required = [name for name, schema in named.items() if "default" not in schema]
    return {"type": "object", "properties": named, "required": required}


GIVEN = {
    "plan": {"type": "string"},
    "note": {"type": "string", "maxLength": 100},
    "since": {"type": "string"},
    "rooms": {"type": "integer"},
    "age": {"type": "number", "minimum": 0},
    "income": {},
    "city": {"type": ["string", "null"], "default": None},
}


def test_what_is_given_counts_before_what_is_learnt(tmp_path):
    """The order of arrays is the given one, the table's stays the model's."""
    model, frame = fitted.mixed()
    found, _ = loaded(tmp_path, model, schema=columns_of(**GIVEN), extra="ignore")
    fields = found.signature.fields
    assert list(fields)[:7] == list(GIVEN)
    assert fields["age"] == {"type": "number", "minimum": 0}
    assert fields["note"] == {"type": "string", "maxLength": 100}
    assert fields["plan"] == {"type": "string", "enum": ["a", "b", "c"]}
    assert fields["income"] == {"type": ["number", "null"], "default": None}
    assert fields["city"]["enum"] == ["Bergen", "Oslo", None]
    assert set(found.signature.required) == {"plan", "note", "since", "rooms", "age"}
    assert found.signature.extra == "ignore"
    few = frame.iloc[[0, 1, 3]]
    asked = [each | {"more": 1} for each in fitted.as_inputs(few)]
    assert answers(found, asked) == model.predict(few).tolist()


@pytest.mark.parametrize(
    ("change", "words", "hint"),
    [
        ({"age": None}, "no column 'age', which the model was fitted on", ""),
        ({"agee": {}}, "has a column 'agee', on which the model was not fitted", "'age'"),
        ({"age": {"type": "string"}}, "'age' is string, the model was fitted on numbers", "age:"),
        ({"rooms": {"type": "number"}}, "'rooms' is number, the model was fitted on whole", ""),
        ({"note": {"type": "integer"}}, "'note' is integer, the model was fitted on texts", ""),
        ({"since": {"type": "number"}}, "'since' is number, the model was fitted on dates", ""),
        ({"plan": {"enum": ["a", "z"]}}, "lets 'plan' be 'z', which the model has not seen", ""),
    ],
)
def test_a_schema_that_contradicts_the_model_is_refused(tmp_path, change, words, hint):
    """Both sides are told, and the column."""
    named = {name: each for name, each in (GIVEN | change).items() if each is not None}
    told = fault(tmp_path, fitted.mixed()[0], schema=columns_of(**named))
    assert words in str(told)
    assert hint in told.hint


def test_arrays_have_the_columns_that_were_given_in_that_order(tmp_path):
    """A column that the model leaves out is none of an input where nobody has named it."""
    model, frame = fitted.mixed()
    given = columns_of(
        note={"type": "string"},
        since={"type": "string"},
        rooms={"type": "integer"},
        age={"type": ["number", "null"]},
        plan={"type": "string"},
        income={"type": ["number", "null"]},
        city={"type": ["string", "null"]},
    )
    found, report = loaded(tmp_path, model, schema=given)
    names = list(given["properties"])
    assert list(found.signature.fields) == list(report.input) == names
    wanted = model.predict(frame[:4]).tolist()
    named = [{name: row[name] for name in names} for row in fitted.as_inputs(frame[:4])]
    assert answers(found, named) == wanted
    assert answers(found, [list(row.values()) for row in named]) == wanted
    with pytest.raises(ValueError, match="there is no 'id'"):
        answers(found, [named[0] | {"id": 1}])


def test_numbers_by_their_places_have_the_model_s_order(tmp_path):
    """Of a list of numbers the order cannot be another one: it is no table."""
    model, _ = fitted.numbers()
    given = columns_of(**{name: {"type": "number"} for name in ("id", "rooms", "income")})
    told = fault(tmp_path, model, schema=given, input_type="doubles")
    assert "in the order id, rooms, income" in told.message
    assert "in the order income, rooms, id" in told.message
    found, report = loaded(tmp_path / "table", model, schema=given)
    assert list(report.input) == ["id", "rooms", "income"]
    assert answers(found, [[1, 2, 3.5]]) == answers(found, [{"id": 1, "rooms": 2, "income": 3.5}])


def test_the_example_is_of_what_the_model_uses_and_has_learnt(tmp_path):
    """Not of columns that it drops; of categories one that it has seen, though it takes others."""
    frame = fitted.table()
    columns = ColumnTransformer(
        [("c", OneHotEncoder(handle_unknown="ignore"), ["city", "rooms"]),
         ("s", StandardScaler(), ["income"])]
    )  # fmt: skip
    model = make_pipeline(columns, LogisticRegression()).fit(frame, fitted.LABELS)
    found, report = loaded(tmp_path, model)
    assert report.input == {"city": "Bergen", "rooms": 1, "income": 1.0}
    assert found.signature.fields["city"]["examples"] == ["Bergen"]
    assert set(found.signature.fields) == set(frame.columns)
    assert answers(found, fitted.as_inputs(frame[:4])) == model.predict(frame[:4]).tolist()
    unseen = fitted.as_inputs(frame[:1])[0] | {"city": "Rome"}
    assert answers(found, [unseen]) == model.predict(frame[:1].assign(city="Rome")).tolist()


@pytest.mark.parametrize(
    "part",
    [
        StandardScaler(),
        MinMaxScaler(),
        RandomForestClassifier(n_estimators=4, random_state=1),
        DecisionTreeClassifier(random_state=1),
        GradientBoostingClassifier(n_estimators=2, random_state=1),
    ],
    ids=lambda part: type(part).__name__,
)
def test_the_example_of_whole_numbers_is_whole(tmp_path, part):
    """As far as a fitted part tells of what it has seen; as a number it may be any."""
    frame = fitted.table()[["rooms", "id", "income"]].assign(wanted=[3, 1, 4, 1, 5] * 8)
    model = part if hasattr(part, "predict") else make_pipeline(part, LogisticRegression())
    found, report = loaded(tmp_path, model.fit(frame, frame["wanted"] > 2))
    assert json.dumps(report.input["wanted"]) == "1"
    assert {json.dumps(report.input[name]) for name in ("rooms", "id")} <= {"1", "1.0"}
    assert json.dumps(report.input["income"]) == "1.0"
    assert found.signature.fields["wanted"]["type"] == "number"
    assert answers(found, [frame.iloc[3].tolist()]) == model.predict(frame[3:4]).tolist()


@pytest.mark.parametrize(
    ("name", "example", "words"),
    [
        ("numbers", [1.0], "an input of this model has 3 numbers (income, rooms, id), not 1"),
        (
            "numbers",
            [1, 2, 3, 4],
            "an input of this model has 3 numbers (income, rooms, id), not 4",
        ),
        ("numbers", [1, "x", 3], 'a list of numbers, and its item 1 is the text "x"'),
        ("numbers", {"income": 1, "rooms": "x", "id": 2}, 'and its item 1 is the text "x"'),
        ("numbers", {"income": 1, "rooms": 2}, "the input lacks 'id'"),
        ("numbers", "x", 'a list of numbers, not the text "x"'),
        ("numbers", 3, "a list of numbers, not the number 3"),
        ("mixed", [1, 2], "has 9 values (age, income, city, rooms, plan, is_new, since, note, id)"),
        ("mixed", 7, "an object with age, income, city"),
        ("text", ["x"], "an input of this model is a text, not an array of 1"),
        (
            "gradient",
            {"age": "x", "income": 1, "plan": "z"},
            "age: wanted a number, found the text",
        ),
    ],
)
def test_an_example_that_does_not_fit_is_told_in_one_sentence(tmp_path, name, example, words):
    """What is wanted, what was given, and one that fits; nothing of scikit-learn's."""
    model, _ = getattr(fitted, name)()
    with pytest.raises(selftest.TestCallError) as caught:
        loaded(tmp_path, model, example=example)
    assert words in caught.value.message
    assert not caught.value.traceback
    assert "--example '" in caught.value.hint or "--input-type" in caught.value.hint


def test_an_example_of_numbers_without_names_is_counted_too(tmp_path):
    """As many as the model was fitted on."""
    model = LinearRegression().fit(np.eye(3), [0, 1, 2])
    with pytest.raises(selftest.TestCallError, match="has 3 numbers, not 2") as caught:
        loaded(tmp_path, model, example=[1.0, 2.0])
    assert caught.value.hint == "such as: --example '[1.0, 1.0, 1.0]'"


def test_what_is_not_required_needs_something_in_its_place(tmp_path):
    """A default, or that it may be missing."""
    schema = columns_of(**GIVEN) | {"required": ["plan", "note", "since", "age"]}
    told = fault(tmp_path, fitted.mixed()[0], schema=schema)
    assert "does not require 'rooms', and has no default for it, and it cannot be null" in str(told)


def test_numbers_without_names_may_be_named(tmp_path):
    """By columns, or by an example."""
    model = LinearRegression().fit(np.eye(3), [1.0, 2.0, 3.0])
    named = {name: {"type": "number"} for name in "abc"}
    by_columns, _ = loaded(tmp_path / "columns", model, schema=columns_of(**named))
    by_example, report = loaded(tmp_path / "example", model, example={"a": 1, "b": 2.5, "c": 0})
    assert by_columns.signature.fields == by_example.signature.fields == named
    assert by_example.input_type == "doubles"
    assert report.input == {"a": 1, "b": 2.5, "c": 0}
    two = columns_of(a={"type": "number"}, b={"type": "number"})
    told = fault(tmp_path / "two", model, schema=two)
    assert "names 2 columns (a, b), the model was fitted on 3" in str(told)


def test_an_example_says_what_is_not_known_otherwise(tmp_path):
    """Of a column that a part of the author's own takes in any form."""
    frame = pd.DataFrame({"x": ["ab", "abc"]})
    own = FunctionTransformer(lambda x: np.asarray(x["x"].astype(str).str.len()).reshape(-1, 1))
    model = make_pipeline(ColumnTransformer([("own", own, ["x"])]), LinearRegression())
    found, report = loaded(tmp_path, model.fit(frame, [0, 1]), example={"x": "abcd"})
    assert found.signature.fields == {"x": {"type": "string"}}
    assert report.input == {"x": "abcd"}


# --- what is answered ---


@pytest.mark.parametrize("name", ["mixed", "numbers", "lightgbm"])
def test_labels_and_probabilities_by_name(tmp_path, name):
    """The model's own, to the last bit, and the schema says what comes."""
    model, frame = getattr(fitted, name)()
    asked = fitted.as_inputs(frame[:3])
    labels = model.predict(frame[:3]).tolist()
    named = [
        dict(zip(["no", "yes"], row, strict=True))
        for row in model.predict_proba(frame[:3]).tolist()
    ]
    found = {word: loaded(tmp_path / word, model, output=word)[0] for word in manifest.OUTPUTS}
    assert answers(found["labels"], asked) == labels
    assert answers(found["proba"], asked) == named
    assert answers(found["both"], asked) == [
        {"label": label, "probabilities": each} for label, each in zip(labels, named, strict=True)
    ]
    assert found["labels"].signature.output == {"enum": ["no", "yes"]}
    assert set(found["proba"].signature.output["properties"]) == {"no", "yes"}
    assert found["both"].signature.output["properties"]["label"] == {"enum": ["no", "yes"]}


def test_classes_that_are_no_texts_have_names_too(tmp_path):
    """As JSON writes them."""
    model = LogisticRegression().fit(np.eye(2), [True, False])
    found, report = loaded(tmp_path, model, output="both")
    assert set(report.output["probabilities"]) == {"true", "false"}
    assert report.output["label"] in (True, False)
    assert found.signature.output["properties"]["label"] == {"enum": [False, True]}


@pytest.mark.parametrize(
    ("model", "values", "words"),
    [
        (LinearRegression(), {"output": "labels"}, "a LinearRegression, which knows no classes"),
        (LinearSVC(), {"output": "proba"}, "needs predict_proba, which LinearSVC has not"),
        (
            LogisticRegression(),
            {"output": "labels", "method": "predict_proba"},
            "--method predict_proba and --output labels say different things",
        ),
    ],
)
def test_an_output_that_cannot_be_had_is_refused(tmp_path, model, values, words):
    """With what to do instead."""
    told = fault(tmp_path, model.fit(np.eye(2), [0, 1]), **values)
    assert words in str(told)
    assert told.hint


def test_regressors_show_how_many_numbers_they_answer(tmp_path):
    """One, or a list of as many as they have targets."""
    one, _ = loaded(tmp_path / "one", LinearRegression().fit(np.eye(2), [1.0, 2.0]))
    report = selftest.test_call(one, Manifest(loader="pickle", kind="pickle", file="m.pkl"), -1)
    assert report.completed(one.signature).output == {"type": "number"}
    two, report = loaded(tmp_path / "two", LinearRegression().fit(np.eye(2), np.eye(2)))
    numbers = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
    assert report.completed(two.signature).output == numbers


# --- what is odd ---


def test_columns_of_one_name_are_refused_where_names_matter(tmp_path):
    """A list of numbers needs no names; a table does."""
    frame = pd.DataFrame([[1.0, 2.0], [3.0, 4.5]], columns=["a", "a"])
    model = LinearRegression().fit(frame.to_numpy(), [0, 1])
    wanted = model.predict(frame.to_numpy()[:1]).tolist()
    model.feature_names_in_ = np.array(["a", "a"], dtype=object)  # as older releases have it
    found, _ = loaded(tmp_path / "numbers", model)
    assert found.signature.fields is None
    assert answers(found, [[1.0, 2.0]]) == wanted
    told = fault(tmp_path / "table", make_pipeline(_Twice()).fit(frame))
    assert "several columns have (a)" in str(told)


class _Twice(BaseEstimator):
    """A model of a table with two columns of one name."""

    def fit(self, x, y=None):
        """Keep the names."""
        del y
        self.feature_names_in_ = np.array(list(x.columns), dtype=object)
        return self

    def predict(self, x):
        """Answer a number a row."""
        return np.zeros(len(x))


def test_very_many_columns_have_no_names(tmp_path):
    """Numbers are served as a list; a table of so many is refused with the number."""
    frame = pd.DataFrame(np.ones((2, 2_500)), columns=[f"c{at}" for at in range(2_500)])
    found, _ = loaded(tmp_path / "numbers", LinearRegression().fit(frame, [0, 1]))
    assert found.signature.fields is None
    assert found.row_items == 2_500
    told = fault(tmp_path / "table", _Twice().fit(frame))
    assert "2500 named fields, more than 2000" in str(told)


def test_columns_that_are_called_like_parts_of_a_request(tmp_path):
    """An input is not looked into for names of the protocol."""
    frame = pd.DataFrame({"input": [1.0, 2.0], "version": ["a", "b"], "é \n": [3.0, 4.5]})
    columns = ColumnTransformer(
        [("n", StandardScaler(), ["input", "é \n"]), ("v", OneHotEncoder(), ["version"])]
    )
    model = make_pipeline(columns, LinearRegression()).fit(frame, [0.0, 1.0])
    found, _ = loaded(tmp_path, model)
    assert answers(found, fitted.as_inputs(frame)) == model.predict(frame).tolist()


def test_columns_named_by_numbers_are_a_list(tmp_path):
    """scikit-learn keeps no names that are no texts."""
    frame = pd.DataFrame(np.eye(3))
    found, _ = loaded(tmp_path, LinearRegression().fit(frame, [0, 1, 2]))
    assert found.signature.fields is None
    assert found.row_items == 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"age": "x"}, ['age: wanted a number, found the text "x"']),
        ({"rooms": 1.5}, ["rooms: wanted a whole number"]),
        ({"rooms": 1 << 70}, ["rooms: wanted a whole number of 64 bits"]),
        ({"age": 10**400}, ["age: wanted a number, found the number 1000"]),
        ({"since": "2024-02-30"}, ["since: wanted a date"]),
        ({"since": "999999-01-01"}, ["since: wanted a date"]),
        ({"note": 1, "age": "x"}, ["age: wanted a number", "note: wanted a text, found the num"]),
    ],
)
def test_a_value_that_does_not_fit_is_told_by_its_column(tmp_path, change, words):
    """Also where no daemon has looked at it before; the other inputs of the batch are answered."""
    model, frame = fitted.mixed()
    found, _ = loaded(tmp_path, model)
    rows = fitted.as_inputs(frame[:3])
    rows[1] |= change
    with pytest.raises(PartlyFailedError) as caught:
        answers(found, rows)
    first, second, third = caught.value.outcomes
    assert [json.loads(first), json.loads(third)] == model.predict(frame[:3:2]).tolist()
    assert isinstance(second.error, InputError)
    assert [each["loc"] for each in second.error.faults] == [
        [word.partition(":")[0]] for word in words
    ]
    for word in words:
        assert word in str(second.error)
    with pytest.raises(InputError, match=words[0][:12]):
        answers(found, [rows[1]])


def test_rows_that_are_none_are_refused(tmp_path):
    """What comes must be arrays of as many values as there are fields."""
    model, _ = fitted.gradient()
    found, _ = loaded(tmp_path, model)
    for data in (b"{}", b"[1", b"1", b"[1],[2]"):
        with pytest.raises(protocol.ProtocolError, match="JSON"):
            found.predictor.predict(inputs.Batch(protocol.ROWS, b"", data, 1))
    with pytest.raises(ValueError, match="a row has 1 values, this model takes 3"):
        found.predictor.predict(inputs.Batch(protocol.ROWS, b"", b"[1]", 1))


@pytest.mark.parametrize("word", ["rows", "doubles"])
def test_a_type_that_is_given_counts(tmp_path, word):
    """Of a model that would do with either."""
    model, frame = fitted.numbers()
    found, report = loaded(tmp_path, model, input_type=word)
    assert found.input_type == found.signature.input_type == word
    assert report.state == "ok"
    assert answers(found, fitted.as_inputs(frame[:3])) == model.predict(frame[:3]).tolist()


def test_a_type_that_a_table_is_none_of_is_refused_with_what_helps(tmp_path):
    """As scripts of before the model said itself what it takes give it."""
    with pytest.raises(selftest.TestCallError) as caught:
        loaded(tmp_path, fitted.mixed()[0], input_type="doubles")
    assert "leave --input-type out" in caught.value.hint


def test_rows_of_a_model_without_names_are_refused(tmp_path):
    """With the flag that gives them."""
    model = LinearRegression().fit(np.eye(2), [0, 1])
    told = fault(tmp_path, model, input_type="rows")
    assert "does not know the names of its columns" in str(told)
    assert "--columns" in told.hint
