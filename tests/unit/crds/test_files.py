"""The generated files: deterministic, complete, and any difference on disk is found."""

from pathlib import Path

import pytest
import yaml

from crds.__main__ import main
from crds.definition import custom_resource_definition, to_yaml
from crds.files import differences, manifests, reference, write
from crds.v1alpha1 import KINDS, VirtualMachine, Zone

ROOT = Path(__file__).parent.parent.parent.parent


def test_the_committed_files_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 0, capsys.readouterr().err


def test_yaml_is_the_definition_and_always_the_same() -> None:
    for kind in KINDS:
        text = to_yaml(kind)
        assert yaml.safe_load(text) == custom_resource_definition(kind)
        assert text == to_yaml(kind)
        assert "&id" not in text
        assert f"crds/v1alpha1/{kind.KIND.lower()}.py" in text.splitlines()[0]
        assert (ROOT / "crds" / "v1alpha1" / f"{kind.KIND.lower()}.py").exists()


def test_what_a_definition_says_beside_the_schema() -> None:
    crd = custom_resource_definition(VirtualMachine)
    assert crd["metadata"]["name"] == "virtualmachines.vireo.dev"
    assert crd["spec"]["scope"] == "Namespaced"
    assert crd["spec"]["names"]["shortNames"] == ["vvm"]
    version = crd["spec"]["versions"][0]
    assert version["subresources"] == {"status": {}}
    assert [column["name"] for column in version["additionalPrinterColumns"]][:5] == ["State", "Ready", "Host", "IP", "Age"]
    assert {column["name"]: column.get("priority") for column in version["additionalPrinterColumns"]}["Reason"] == 1
    assert "selectableFields" not in custom_resource_definition(Zone)["spec"]["versions"][0]


def test_write_then_check(tmp_path: Path) -> None:
    files = {"a.yaml": "a\n", "b.yaml": "b\n"}
    assert differences(tmp_path / "new", files) == ["a.yaml", "b.yaml"]
    assert [path.name for path in write(tmp_path / "new", files)] == ["a.yaml", "b.yaml"]
    assert differences(tmp_path / "new", files) == []
    assert write(tmp_path / "new", files) == []


def test_each_way_to_differ_is_found_and_mended(tmp_path: Path) -> None:
    files = {"a.yaml": "a\n", "b.yaml": "b\n"}
    write(tmp_path, files)
    (tmp_path / "a.yaml").write_text("edited by hand\n")
    (tmp_path / "b.yaml").unlink()
    (tmp_path / "left-over.yaml").write_text("of a kind that is gone\n")
    (tmp_path / "notes.txt").write_text("not ours")
    assert differences(tmp_path, files) == ["a.yaml", "b.yaml", "left-over.yaml"]
    assert [path.name for path in write(tmp_path, files)] == ["a.yaml", "b.yaml", "left-over.yaml"]
    assert differences(tmp_path, files) == []
    assert (tmp_path / "notes.txt").exists()


def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--root", str(tmp_path), "check"]) == 1
    said = capsys.readouterr().err
    assert "virtualmachines.yaml is out of date: run `python -m crds generate`" in said
    assert "virtualmachine.md is out of date: run `python -m crds docs`" in said
    assert main(["--root", str(tmp_path), "generate"]) == 0
    assert main(["--root", str(tmp_path), "check"]) == 1
    assert "generate`" not in capsys.readouterr().err
    assert main(["--root", str(tmp_path), "docs"]) == 0
    assert main(["--root", str(tmp_path), "check"]) == 0
    assert {path.name for path in (tmp_path / "crds" / "manifests").iterdir()} == set(manifests(KINDS))


def test_a_broken_rule_stops_every_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("crds.__main__.schema_problems", lambda kinds: ["Zone.spec.dns: has no description"])
    for command in ("check", "generate", "docs"):
        assert main([command]) == 1
        assert "Zone.spec.dns: has no description" in capsys.readouterr().err


def test_an_unknown_command_is_refused() -> None:
    with pytest.raises(SystemExit):
        main(["publish"])


def test_reference_pages_show_every_field_and_link_each_other() -> None:
    pages = reference(KINDS)
    assert set(pages) == {"README.md", *(f"{kind.KIND.lower()}.md" for kind in KINDS)}
    for kind in KINDS:
        assert f"[{kind.KIND}]({kind.KIND.lower()}.md)" in pages["README.md"]
    page = pages["virtualmachine.md"]
    assert "| `zone` (required) | string | Zone that the VM runs in. Immutable." in page
    assert "| `rootDisk.size` | quantity |" in page
    assert "| `networks[].name` (required) | string |" in page
    assert "| `sshKeys` | set of string |" in page
    assert "| `networks` | list by name of object |" in page
    assert "| `spec.rootDisk.size` | must not shrink |" in page
    assert '| Reason | `.status.conditions[?(@.type=="Ready")].reason` (with `-o wide`) |' in page


def test_tables_of_the_reference_are_whole() -> None:
    """A pipe in a pattern or a rule must not break a row."""
    for text in reference(KINDS).values():
        rows = [line for line in text.splitlines() if line.startswith("|")]
        for before, row in zip(["", *rows], rows, strict=False):
            cells = row.replace("\\|", "").count("|") - 1
            if before and f"{before}\n{row}" in text:
                assert cells == before.replace("\\|", "").count("|") - 1, row
