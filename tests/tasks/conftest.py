import pytest


@pytest.fixture
def csv(tmp_path):
    """Writes text or bytes to a file, and gives its path."""

    def write(content: str | bytes, name: str = "data.csv", encoding: str = "utf-8") -> str:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return str(path)

    return write
