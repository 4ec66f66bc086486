"""What the README tells a reader to type works."""

import re
from pathlib import Path

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_the_python_example_runs():
    (code,) = re.findall("```python\n(.*?)```", README, re.DOTALL)
    names: dict[str, object] = {}
    exec(code, names)
    assert names["loss"].shape == () and all(p.grad is not None for p in names["net"].parameters())


def test_every_page_that_is_linked_exists():
    root = Path(__file__).parent.parent
    for page in [root / "README.md", *(root / "docs").glob("*.md")]:
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert link.startswith("https://") or (page.parent / link).exists(), f"{page.name}: {link}"
