"""Functions of tables: one without annotations, and one each of pandas and polars."""


def bare(frame):  # noqa: ANN001, ANN201
    """Return the columns of each row."""
    return [",".join(frame.columns)] * len(frame)


def __getattr__(name: str) -> object:
    """Make a function whose annotation needs a library only where it is wanted."""
    if name == "of_pandas":
        import pandas as pd  # noqa: PLC0415

        def of_pandas(frame: pd.DataFrame) -> list[float]:
            assert type(frame) is pd.DataFrame
            return (frame["a"] * 2).tolist()  # type: ignore[no-any-return]

        return of_pandas
    if name == "of_polars":
        import polars as pl  # noqa: PLC0415

        def of_polars(frame: pl.DataFrame) -> list[float]:
            assert type(frame) is pl.DataFrame
            return (frame["a"] * 2).to_list()

        return of_polars
    raise AttributeError(name)
