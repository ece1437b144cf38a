"""Code that serves what is no model by itself: some ten lines each, to be saved as they are.

Used by unknown.py, and by formats that need code beside a file. FILE stands for the file's name, as
Python has it, and NAME for a name in it.
"""

from typing import Final

_ROWS: Final = "def predict(rows: list[list[float]]) -> list:\n"

KERAS: Final = (
    "import numpy as np\nfrom keras.models import load_model\n\n"
    "model = load_model(FILE, compile=False)\n\n\n"
    + _ROWS
    + '    return model.predict(np.asarray(rows, "float32"), verbose=0).tolist()\n'
)
HDF5: Final = (
    "import h5py\nimport numpy as np\n\n"
    "with h5py.File(FILE) as file:\n"
    "    arrays = {}\n"
    "    file.visititems(lambda name, item: arrays.update({name: np.asarray(item)})\n"
    '                    if hasattr(item, "shape") else None)\n'
    "weights = next(each for each in arrays.values() if each.ndim == 2)  # say which of them\n\n\n"
    + _ROWS
    + "    return (np.asarray(rows) @ weights).tolist()\n"
)
NOTEBOOK: Final = (
    "import json\nfrom pathlib import Path\n\n"
    "names: dict = {}\n"
    "for cell in json.loads(Path(FILE).read_text())['cells']:\n"
    '    lines = "".join(cell["source"]).splitlines() if cell["cell_type"] == "code" else []\n'
    '    exec("\\n".join(line for line in lines if line[:1] not in "%!"), names)\n'
    'model = names["model"]  # the name that it has in the notebook\n\n\n'
    + _ROWS
    + "    return list(model.predict(rows))\n"
)
TABLE: Final = (
    "import pandas as pd\nfrom sklearn.ensemble import HistGradientBoostingRegressor\n\n"
    "table = pd.READ(FILE)\n"
    "target = table.columns[-1]  # what is to be predicted\n"
    'known = table.drop(columns=target).select_dtypes("number")\n'
    "model = HistGradientBoostingRegressor().fit(known.to_numpy(), table[target])\n\n\n"
    + _ROWS
    + "    return model.predict(rows).tolist()\n"
)
CSV: Final = TABLE.replace("READ", "read_csv")
PARQUET: Final = TABLE.replace("READ", "read_parquet")
ZIP: Final = (
    "import io\nimport zipfile\n\nimport joblib\n\n"
    "with zipfile.ZipFile(FILE) as archive:\n"
    "    model = joblib.load(io.BytesIO(archive.read(NAME)))\n\n\n"
    + _ROWS
    + "    return model.predict(rows).tolist()\n"
)
PICTURE: Final = (
    "from PIL import Image\n\n\n"
    "def predict(picture: Image.Image) -> dict:\n"
    '    """Ask a model of pictures here: this is what one gets."""\n'
    '    return {"width": picture.width, "height": picture.height}\n'
)
PACKAGE: Final = (
    "import NAME\n\n\n"
    "def predict(rows: list) -> list:\n"
    "    return [NAME.predict(row) for row in rows]  # the function that answers\n"
)
SAVED_MODEL: Final = (
    "import tensorflow as tf\n\n"
    "loaded = tf.saved_model.load(FILE)\n"
    'call = loaded.signatures["serving_default"]\n'
    "name, spec = next(iter(call.structured_input_signature[1].items()))\n\n\n"
    + _ROWS
    + "    answers = call(**{name: tf.constant(rows, spec.dtype)})\n"
    "    return next(iter(answers.values())).numpy().tolist()\n"
)
GRAPH: Final = (
    "import tensorflow as tf\n\n"
    "graph_def = tf.compat.v1.GraphDef()\n"
    "with open(FILE, 'rb') as file:\n"
    "    graph_def.ParseFromString(file.read())\n"
    "first, last = graph_def.node[0].name, graph_def.node[-1].name  # input and output\n"
    "session = tf.compat.v1.Session(graph=tf.Graph())\n"
    "with session.graph.as_default():\n"
    '    tf.import_graph_def(graph_def, name="")\n\n\n'
    + _ROWS
    + '    return session.run(f"{last}:0", {f"{first}:0": rows}).tolist()\n'
)
ARRAYS: Final = (
    "import numpy as np\n\n"
    "weights = np.load(FILE)[NAME]\n\n\n"
    + _ROWS
    + "    return (np.asarray(rows) @ weights).tolist()\n"
)
ARRAY: Final = ARRAYS.replace("[NAME]", "")
GGUF: Final = (
    "from llama_cpp import Llama\n\n"
    "model = Llama(FILE, verbose=False)\n\n\n"
    "def predict(prompt: str) -> str:\n"
    '    return model(prompt, max_tokens=128)["choices"][0]["text"]\n'
)
CORE_ML: Final = (
    "import coremltools\nimport numpy as np\n\n"
    "model = coremltools.models.MLModel(FILE)  # which macOS alone can ask\n"
    "name = model.get_spec().description.input[0].name\n\n\n"
    + _ROWS
    + "    answers = [model.predict({name: np.asarray([row])}) for row in rows]\n"
    "    return [next(iter(each.values())).tolist() for each in answers]\n"
)
TFLITE: Final = (
    "import numpy as np\nfrom ai_edge_litert.interpreter import Interpreter\n\n"
    "model = Interpreter(FILE)\n"
    "model.allocate_tensors()\n"
    "source, sink = model.get_input_details()[0], model.get_output_details()[0]\n\n\n"
    "def predict(row: list[float]) -> list:\n"
    '    model.set_tensor(source["index"], np.asarray([row], source["dtype"]))\n'
    "    model.invoke()\n"
    '    return model.get_tensor(sink["index"])[0].tolist()\n'
)
JSON: Final = (
    "import json\nfrom pathlib import Path\n\n"
    "known = json.loads(Path(FILE).read_text())\n\n\n"
    "def predict(key: str) -> object:\n"
    "    return known.get(key) if isinstance(known, dict) else known[int(key)]\n"
)
SQLITE: Final = (
    "import sqlite3\n\n"
    "database = sqlite3.connect(FILE, check_same_thread=False)\n"
    "tables = database.execute(\"SELECT name FROM sqlite_master WHERE type = 'table'\")\n"
    "table = next(tables)[0]\n\n\n"
    "def predict(row: int) -> list:\n"
    "    query = f'SELECT * FROM \"{table}\" WHERE rowid = ?'\n"
    "    return list(database.execute(query, [row]).fetchone() or ())\n"
)
RDS: Final = (
    "from rpy2.robjects import FloatVector, r\n\n"
    'model = r["readRDS"](FILE)\n\n\n'
    + _ROWS
    + '    table = r["matrix"](FloatVector(sum(rows, [])), nrow=len(rows), byrow=True)\n'
    '    return list(r["predict"](model, r["as.data.frame"](table)))\n'
)
_OF_TORCH: Final = (
    "\n\n"
    "def predict(rows: list[list[float]]) -> list:\n"
    "    with torch.inference_mode():\n"
    "        return model(torch.tensor(rows)).tolist()\n"
)
_THEIR_CLASS: Final = "from net import Net  # the file and the class that it was trained in\n\n"
WEIGHTS: Final = (
    f"import torch\n\n{_THEIR_CLASS}model = Net()\n"
    "model.load_state_dict(torch.load(FILE, weights_only=True))\nmodel.eval()\n" + _OF_TORCH
)
SAFETENSORS: Final = (
    f"import torch\nfrom safetensors.torch import load_file\n\n{_THEIR_CLASS}model = Net()\n"
    "model.load_state_dict(load_file(FILE))\nmodel.eval()\n" + _OF_TORCH
)
WHOLE: Final = (
    f"import torch\n\n{_THEIR_CLASS}"
    "model = torch.load(FILE, weights_only=False).eval()\n" + _OF_TORCH
)
ANYTHING: Final = (
    "from pathlib import Path\n\n"
    "content = Path(FILE).read_bytes()  # load the model here, with the library that wrote it\n\n\n"
    + _ROWS
    + "    return [len(content) + sum(row) for row in rows]  # and ask it here\n"
)


def served_by(code: str, name: str, inner: str = "") -> str:
    """Return what to do about a file that some code serves: where to save it, and the code.

    `inner` is the name that the code has of something in the file.
    """
    stem = "".join(each if each.isalnum() else "_" for each in name.partition(".")[0]) or "model"
    written = code.replace("FILE", repr(name))
    written = written.replace("NAME", inner if "import NAME" in code else repr(inner))
    file = f"serve_{stem}.py"
    return f"save this beside it as {file}, then: servd deploy {file}:predict\n\n{written}"
