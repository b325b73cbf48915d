"""mlcfast: multi-label image classification, made fast and made to fit."""

__version__: str


def __getattr__(name: str) -> str:
    """`__version__` is that of the installed distribution, which is looked for only when somebody asks."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("mlcfast")
    except PackageNotFoundError:
        return "0+unknown"  # run from a source tree that was never installed
