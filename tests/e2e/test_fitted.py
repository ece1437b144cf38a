"""Files of fitted models, deployed with nothing else said: the printed line gives their answer."""

import json
import shlex
import subprocess

import pytest

from tests import fitted

pytestmark = pytest.mark.slow


def printed_line(done) -> str:
    """Return the curl line that a deployment has printed."""
    return next(line for line in done.stdout.splitlines() if line.lstrip().startswith("curl "))


def own_answer(model, asked):
    """Return what a model answers itself to the input of a request."""
    pd = pytest.importorskip("pandas")
    if isinstance(asked, str):
        return model.predict([asked]).tolist()[0]
    frame = pd.DataFrame([asked])
    if "since" in frame:
        frame["since"] = pd.to_datetime(frame["since"])
    if "plan" in frame and not hasattr(model, "steps"):
        frame["plan"] = pd.Categorical(frame["plan"], categories=["c", "b", "a"])
    return model.predict(frame).tolist()[0]


@pytest.mark.parametrize("name", ["mixed", "text", "xgboost", "lightgbm", "forest", "gradient"])
def test_the_printed_line_gives_the_model_s_own_answer(idle_daemon, tmp_path, name):
    """Pasted into a shell, bit for bit."""
    model, _ = getattr(fitted, name)()
    fitted.dump(model, tmp_path / "credit.pkl")
    done = idle_daemon.cli("deploy", "credit.pkl", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    line = printed_line(done)
    answered = subprocess.run(
        ["sh", "-c", f"{line} --silent"], capture_output=True, text=True, timeout=30, check=True
    )
    body = next(word for word in shlex.split(line) if word.startswith("{"))
    asked = json.loads(body)["input"]
    assert json.loads(answered.stdout)["output"] == own_answer(model, asked)


def test_inputs_of_a_table_by_name_in_order_and_as_columns(idle_daemon, tmp_path):
    """All forms of the same input have the same answer, and wrong ones say which column."""
    model, frame = fitted.mixed()
    fitted.dump(model, tmp_path / "credit.pkl")
    done = idle_daemon.cli("deploy", "credit.pkl", "--output", "both", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    few = fitted.as_inputs(frame[:4])
    labels = model.predict(frame[:4]).tolist()
    probabilities = model.predict_proba(frame[:4]).tolist()
    wanted = [
        {"label": label, "probabilities": dict(zip(["no", "yes"], told, strict=True))}
        for label, told in zip(labels, probabilities, strict=True)
    ]
    for row, each in zip(few, wanted, strict=True):
        for form in (row, list(row.values())):
            status, told = idle_daemon.query("/credit/predict", {"input": form})
            assert status == 200, told
            assert told["output"]["label"] == each["label"]
            assert told["output"]["probabilities"] == pytest.approx(each["probabilities"])
    columns = {name: [row[name] for row in few] for name in few[0]}
    for batch in (few, columns):
        status, told = idle_daemon.query("/credit/predict", {"input_batch": batch})
        assert status == 200, told
        assert [each["output"]["label"] for each in told["batch_predictions"]] == labels


def test_wrong_inputs_of_a_table_name_the_column(idle_daemon, tmp_path):
    """None reaches the model, which goes on."""
    model, frame = fitted.mixed()
    fitted.dump(model, tmp_path / "credit.pkl")
    assert idle_daemon.cli("deploy", "credit.pkl", cwd=tmp_path).returncode == 0
    good = fitted.as_inputs(frame[:1])[0]
    for change, field in (
        ({"rooms": 9}, "rooms"),
        ({"rooms": 1 << 70}, "rooms"),
        ({"plan": "z"}, "plan"),
        ({"plan": None}, "plan"),
        ({"since": "9999-01-01"}, "since"),
        ({"since": "2024-02-30"}, "since"),
        ({"since": "2024-01-31T00:00:00+01:02:03"}, "since"),  # which only pandas does not read
        ({"age": "old"}, "age"),
        ({"age": (1 << 53) + 1}, "age"),
        ({"agee": 1}, "agee"),
    ):
        status, told = idle_daemon.query("/credit/predict", {"input": good | change})
        assert status == 422, told
        assert told["detail"][0]["loc"][:2] == ["input", field]
        assert field in told["cause"]
    bad = good | {"since": "2024-01-31T00:00:00+01:02:03"}
    status, told = idle_daemon.query("/credit/predict", {"input_batch": [good, bad]})
    one, other = told["batch_predictions"]
    assert (status, one["output"]) == (200, model.predict(frame[:1])[0])
    assert other["detail"][0]["loc"] == ["input_batch", 1, "since"]
    status, told = idle_daemon.query("/credit/predict", {"input": good})
    assert (status, told["output"]) == (200, model.predict(frame[:1])[0])
