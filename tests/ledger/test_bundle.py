"""A bundle proves what it says anywhere; whatever is changed in it is found, and told where."""

import base64
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lineshaft.core.errors import Refused
from lineshaft.core.facts import Fact
from lineshaft.ledger.bundle import bundle_of_facts, bundle_of_range
from lineshaft.ledger.keys import LogKey
from lineshaft.ledger.log import MOST_ENTRIES
from lineshaft.ledger.verify import (
    Note,
    PublicKey,
    Tampered,
    Unreadable,
    main,
    pack,
    parse_note,
    plain_json,
    unpack,
    verify,
)  # fmt: skip
from tests.ledger.conftest import Filled, fact

VERIFIER = Path(__file__).parents[2] / "src" / "lineshaft" / "ledger" / "verify.py"
FLIPS = 2000


def known(filled: Filled) -> Note:
    return filled.ledger.newest().note


def test_facts_are_proven_in_the_order_that_was_asked(sealed: Filled) -> None:
    ids = [fact(number).id for number in (31, 2, 17)]
    entries, said = verify(bundle_of_facts(sealed.ledger, [*ids, ids[0]]))
    assert [entry["id"] for entry in entries] == ids
    told = [Fact.from_json(json.dumps(entry["fact"]).encode()) for entry in entries]
    assert told == [fact(31), fact(2), fact(17)]
    assert "3 Facts are in it as they were entered." in said


def test_a_range_is_proven_whole_and_twice_the_same(sealed: Filled) -> None:
    raw = bundle_of_range(sealed.ledger, 3, 30)
    assert raw == bundle_of_range(sealed.ledger, 3, 30)
    entries, said = verify(raw)
    assert [entry["index"] for entry in entries] == list(range(3, 30))
    assert "All entries from 3 to 29 are in it as they were entered." in said


def test_the_verifier_in_a_bundle_runs_alone(sealed: Filled, tmp_path: Path) -> None:
    raw = bundle_of_range(sealed.ledger, 0, 9)
    (tmp_path / "evidence.zip").write_bytes(raw)
    (tmp_path / "verify.py").write_bytes(unpack(raw)[1])
    (tmp_path / "key").write_text(f"{sealed.key.public}\n")
    # -I -S and a list of what may be loaded: no package of ours can be there.
    alone = """import sys, runpy
sys.argv = sys.argv[1:]
try: runpy.run_path(sys.argv[0], run_name="__main__")
finally: assert not [name for name in sys.modules if name.startswith("lineshaft")]"""

    def run(*more: str) -> Any:
        command = [sys.executable, "-I", "-c", alone, "verify.py", "evidence.zip", *more]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    done = run("--key", "key", "--show")
    assert done.returncode == 0, done.stderr
    assert "you gave it, or it follows" in done.stdout and done.stdout.endswith("ALL HOLDS\n")
    assert '"number": 3' in done.stdout
    changed = bytearray(raw)
    changed[raw.index(b"source1")] ^= 1
    (tmp_path / "evidence.zip").write_bytes(changed)
    done = run()
    assert (done.returncode, done.stderr) == (2, "")  # the archive's own sum finds it
    done = subprocess.run([sys.executable, "-I", "verify.py", "nothing"], cwd=tmp_path, check=False,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 2 and "NOT READABLE" in done.stdout


def test_the_verifier_knows_nothing_of_the_platform() -> None:
    text = VERIFIER.read_text("utf-8")
    assert "import lineshaft" not in text and "from lineshaft" not in text


def test_every_flipped_byte_is_found(sealed: Filled) -> None:
    dice = random.Random(1)
    for raw in (bundle_of_facts(sealed.ledger, [fact(5).id, fact(33).id], since=9),
                bundle_of_range(sealed.ledger, 10, 14)):  # fmt: skip
        verify(raw)
        end = raw.index(b"PK\3\4", 4)  # the evidence, and as many again anywhere
        places = [*range(end), *range(end, end + 60), *range(len(raw) - 160, len(raw))]
        for at in dice.sample(places, min(FLIPS, len(places))) + dice.choices(
            range(len(raw)), k=300
        ):
            changed = bytearray(raw)
            changed[at] ^= 1 << dice.randrange(8)
            with pytest.raises((Tampered, Unreadable)):
                verify(bytes(changed))


def test_every_flipped_character_is_found_behind_the_sums_of_the_archive(sealed: Filled) -> None:
    """As a forger would do it, who packs again what they changed."""
    dice = random.Random(2)
    raw = bundle_of_facts(sealed.ledger, [fact(5).id], since=9)
    evidence, verifier = unpack(raw)
    text = plain_json(evidence)
    for at in range(0, len(text), 1 + len(text) // FLIPS):
        changed = bytearray(text)
        changed[at] ^= 1 << dice.randrange(7)
        with pytest.raises((Tampered, Unreadable)):
            verify(pack([("evidence.json", bytes(changed)), ("verify.py", verifier)]))
    for at in range(0, len(verifier), 97):
        other = verifier[:at] + b"#" + verifier[at + 1 :]
        if other != verifier:
            with pytest.raises(Tampered, match=r"verify\.py in the bundle is not"):
                verify(pack([("evidence.json", text), ("verify.py", other)]))


def test_a_bundle_cut_anywhere_is_found(sealed: Filled) -> None:
    raw = bundle_of_range(sealed.ledger, 0, 3)
    for end in [*range(0, len(raw), 37), len(raw) - 1]:
        with pytest.raises((Tampered, Unreadable)):
            verify(raw[:end])
    for more in (b"\0", b"PK", raw):
        with pytest.raises((Tampered, Unreadable)):
            verify(raw + more)


def _entry(evidence: dict[str, Any], at: int, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the words of an entry, and its leaf with them."""
    from lineshaft.ledger.verify import leaf_hash

    item = evidence["entries"][at]
    content = json.loads(item["entry"])
    change(content)
    item["entry"] = plain_json(content).decode()
    item["leaf"] = base64.b64encode(leaf_hash(item["entry"].encode())).decode()


FORGERIES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "words": (lambda e: e["entries"][2].update(entry=e["entries"][2]["entry"].replace("2", "3")),
              "entry 12: its words were changed"),
    "words and leaf": (lambda e: _entry(e, 2, lambda c: c["fact"].update(at=5)),
                       "entry 12: it is not in the tree"),
    "swapped": (lambda e: e["entries"].reverse(), "entry 10 is missing; entry 19"),
    "swapped words": (lambda e: e["entries"][1].update(entry=e["entries"][2]["entry"]),
                      "entry 11: its words"),
    "swapped places": (lambda e: [e["entries"][i].update(index=j) for i, j in ((1, 12), (2, 11))],
                       "entry 12: it is not in the tree"),
    "dropped": (lambda e: e["entries"].pop(4), "there are 9"),
    "dropped, one more": (lambda e: (e["entries"].pop(4), e["entries"].append(e["entries"][-1])),
                          "entry 14 is missing; entry 15"),
    "repeated": (lambda e: e["entries"].insert(4, e["entries"][4]), "there are 11"),
    "withheld in part": (lambda e: e["entries"][0].pop("proof"), "not in form"),
    "other size": (lambda e: e.update(checkpoint=e["checkpoint"].replace("\n42\n", "\n41\n")),
                   "signature of the checkpoint of 41 entries is wrong"),
    "other time": (lambda e: e.update(checkpoint=e["checkpoint"].replace("time 1", "time 2")),
                   "signature of the checkpoint of 42 entries is wrong"),
    "no keys": (lambda e: e.update(keys=[]), "lacks the log's first key"),
    "one key less": (lambda e: e["keys"].pop(), "is signed by key"),
    "keys in another order": (lambda e: e["keys"].reverse(), "key entry 25: it is not the first"
                              "|key entry 0: it is not the first|not in order"),
    "another field": (lambda e: e.update(more=1), "has other fields"),
    "an unsaid range": (lambda e: e.update(asked={}), "'asked' is not in form"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_is_found_and_told_where(sealed: Filled, name: str) -> None:
    forge, expected = FORGERIES[name]
    evidence, verifier = unpack(bundle_of_range(sealed.ledger, 10, 20))
    forge(evidence)
    with pytest.raises(Tampered, match=expected):
        verify(pack([("evidence.json", plain_json(evidence)), ("verify.py", verifier)]))


def test_a_forged_signature_and_a_foreign_key_are_found(sealed: Filled) -> None:
    evidence, verifier = unpack(bundle_of_range(sealed.ledger, 0, 2))

    def packed() -> bytes:
        return pack([("evidence.json", plain_json(evidence)), ("verify.py", verifier)])

    note, thief = known(sealed), LogKey.next(sealed.key.origin)
    evidence["checkpoint"] = thief.note(note.size, note.root, note.at)
    with pytest.raises(Tampered, match=f"is signed by key {thief.public.id}"):
        verify(packed())
    right = bytes.fromhex(note.key_id) + thief.private.sign(note.body.encode())
    line = f"— {note.origin} {base64.b64encode(right).decode()}\n"
    evidence["checkpoint"] = f"{note.body}\n{line}"
    with pytest.raises(Tampered, match="signature of the checkpoint"):
        verify(packed())


def test_another_log_of_the_same_name_does_not_pass(sealed: Filled, tmp_path: Path) -> None:
    """Whoever makes a log anew, with the same Facts, cannot pass it for this one."""
    other = Filled(tmp_path, "other")
    other.put([fact(number) for number in range(40)])
    raw = bundle_of_facts(other.ledger, [fact(5).id])
    verify(raw)  # it holds by itself
    with pytest.raises(Tampered, match="nothing leads from the key that you trust"):
        verify(raw, key=sealed.key.public)
    with pytest.raises(Tampered, match="another log"):
        verify(raw, since=known(sealed))
    forged = Filled(tmp_path, "forged", LogKey.next(sealed.key.origin))  # it calls itself this one
    forged.put([fact(1)])
    with pytest.raises(Tampered, match="key entry 0: it is not the first key of this log"):
        verify(bundle_of_range(forged.ledger, 0, 1))


def test_keys_follow_one_another(filled: Filled) -> None:
    first = PublicKey.parse(json.loads(filled.ledger.prove_range(0, 1)[1][0].data)["public"])
    for _ in range(3):
        filled.change_key()
        filled.put([fact(100 + filled.count)])
    raw = bundle_of_range(filled.ledger, 40, 44)
    for key in (first, filled.key.public):
        assert any("you gave it" in line for line in verify(raw, key=key)[1])
    assert not any("CAUTION" in line for line in verify(raw)[1])
    lost = filled.key.public
    filled.change_key(lost=True)
    raw = bundle_of_range(filled.ledger, 40, 44)
    assert any("CAUTION" in line and "the key before was lost" in line for line in verify(raw)[1])
    verify(raw, key=filled.key.public)
    for key in (first, lost):
        with pytest.raises(Tampered, match="nothing leads"):
            verify(raw, key=key)


def test_an_older_or_rewritten_tree_is_found(filled: Filled, tmp_path: Path) -> None:
    early = known(filled)
    older = bundle_of_range(filled.ledger, 0, 4)
    filled.put([fact(number) for number in range(40, 47)])
    late = known(filled)
    with pytest.raises(Tampered, match=r"older tree \(42 entries\).*\(49\)"):
        verify(older, since=late)
    assert "It is the tree that you know." in verify(older, since=early)[1]
    newer = bundle_of_range(filled.ledger, 0, 4, since=early.size)
    assert any("nothing was rewritten" in line for line in verify(newer, since=early)[1])
    with pytest.raises(Unreadable, match="export it with since=42"):
        verify(bundle_of_range(filled.ledger, 0, 4), since=early)
    forged = Note(early.origin, early.size, bytes(32), early.at, early.body, "", b"")
    with pytest.raises(Tampered, match="the log was rewritten: its first 42 entries"):
        verify(newer, since=forged)
    with pytest.raises(Tampered, match="two trees of 42"):
        verify(older, since=forged)


def test_audited_calls_are_proven_without_their_words(filled: Filled) -> None:
    secret = fact(99, "audit.called")
    filled.put([secret, fact(98)])
    hidden = ("audit.called", "audit.refused")
    raw = bundle_of_range(filled.ledger, 41, 44, hidden=hidden)
    entries, said = verify(raw)
    assert [entry["withheld"] for entry in entries] == [False, True, False]
    assert secret.id.encode() not in raw and "of 1 only the hash is shown" in said[-1]
    with pytest.raises(Refused, match="may not be shown"):
        bundle_of_facts(filled.ledger, [secret.id], hidden=hidden)
    verify(bundle_of_facts(filled.ledger, [secret.id]))


def test_what_is_not_there_is_refused(filled: Filled) -> None:
    for start, end in ((0, 43), (5, 5), (-1, 3), (9, 2)):
        with pytest.raises(Refused, match="no entries"):
            filled.ledger.prove_range(start, end)
    with pytest.raises(Refused, match="has no entry 'nothing'"):
        bundle_of_facts(filled.ledger, ["nothing"])
    for first, second in ((0, 5), (6, 5), (1, 43)):
        with pytest.raises(Refused, match="no trees of"):
            filled.ledger.consistency(first, second)
    filled.put([fact(500)], signed=False)  # it is in no checkpoint yet
    assert not filled.ledger.known([fact(500).id])
    with pytest.raises(Refused, match="has no entry"):
        bundle_of_facts(filled.ledger, [fact(500).id])
    assert MOST_ENTRIES == 10_000


def test_the_command_says_what_it_found(
    sealed: Filled, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, note = tmp_path / "e.zip", tmp_path / "note"
    file.write_bytes(bundle_of_range(sealed.ledger, 0, 2, since=9))
    note.write_text(sealed.ledger.newest().text)
    assert main([str(file), "--key", str(sealed.key.public), "--since", str(note)]) == 0
    assert "It is the tree that you know." in capsys.readouterr().out
    assert main([str(file), "--key", str(LogKey.next("other/log").public)]) == 1
    assert capsys.readouterr().out.startswith("TAMPERED: nothing leads")
    assert main([str(file), "--key", "no key"]) == 2
    assert main([str(file), "--since", str(file)]) == 2


# Go's package golang.org/x/mod/sumdb/note, from whose form that of C2SP comes, tests with these.
def test_keys_and_signatures_are_those_of_the_common_form() -> None:
    key = PublicKey.parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    text = ("If you think cryptography is the answer to your problem,\n"
            "then you don't know what your problem is.\n")  # fmt: skip
    signed = base64.b64decode("x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgK"
                              "vqfqdngotpRZb6KE6RyyBwJnAM=")  # fmt: skip
    assert signed[:4].hex() == key.id and key.holds(signed[4:], text.encode())
    assert not key.holds(signed[4:], text.encode() + b"\n")
    for wrong in ("PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "", "a+b+c",
                  "Peter+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"):  # fmt: skip
        with pytest.raises(Unreadable):
            PublicKey.parse(wrong)


def test_a_checkpoint_in_another_form_is_refused(sealed: Filled) -> None:
    text = sealed.ledger.newest().text
    assert parse_note(text).size == 42
    for wrong in ("", text + "\n", text.rstrip("\n"), text.replace("—", "-"),
                  text.replace("\n42\n", "\n042\n"), text.replace("time ", "at "),
                  text.replace("\n\n", "\nmore\n\n"), text.replace("\n42\n", "\n-1\n"),
                  text.replace("\n42\n", "\n٤٢\n"),
                  text + text.splitlines()[-1] + "\n"):  # fmt: skip
        with pytest.raises(Unreadable):
            parse_note(wrong)
