"""Which tests are run against a file's mutants."""

from scripts import mutate

FILES = {
    "unit/http/test_ages_of_trees.py": "",
    "unit/test_else.py": "from servd.http import ages",
    "unit/test_other.py": "from servd.http import agenda",
    "integration/http/test_ages.py": "",
    "integration/test_few.py": "import servd.http.ages",
    "e2e/test_ages.py": "import servd.http.ages",
}


def test_those_of_its_name_are_first_and_those_with_processes_last(tmp_path):
    """Of each kind the fast ones come first, as most mutants die of the first test."""
    for name, text in FILES.items():
        file = tmp_path / "tests" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert mutate.tests_of("servd/http/ages.py", tmp_path, is_wide=False) == [
        "tests/unit/http/test_ages_of_trees.py",
        "tests/integration/http/test_ages.py",
        "tests/unit/test_else.py",
        "tests/integration/test_few.py",
    ]
