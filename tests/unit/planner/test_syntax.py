"""What is a name, and what an image."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.syntax import ImageReference, is_container_name, is_object_name, parse_image

SHA256 = f"sha256:{'0a' * 32}"
SHA512 = f"sha512:{'0a' * 64}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("busybox", ImageReference("", "busybox")),
        ("busybox:1.36", ImageReference("", "busybox", "1.36")),
        ("kaito/phi-4:0.1.0", ImageReference("", "kaito/phi-4", "0.1.0")),
        ("ghcr.io/kaito/phi-4", ImageReference("ghcr.io", "kaito/phi-4")),
        ("localhost/a:1", ImageReference("localhost", "a", "1")),
        ("registry:5000/a:1", ImageReference("registry:5000", "a", "1")),
        ("REGISTRY/a", ImageReference("REGISTRY", "a")),
        ("[::1]:5000/a:1", ImageReference("[::1]:5000", "a", "1")),
        ("10.0.0.1:5000/a/b/c:v1", ImageReference("10.0.0.1:5000", "a/b/c", "v1")),
        (f"a.example/b@{SHA256}", ImageReference("a.example", "b", "", SHA256)),
        (f"a.example/b:1@{SHA256}", ImageReference("a.example", "b", "1", SHA256)),
        (f"b@{SHA512}", ImageReference("", "b", "", SHA512)),
        ("a__b/c.d/e--f:A_b.c-1", ImageReference("", "a__b/c.d/e--f", "A_b.c-1")),
        # 64 of these digits are an image's id, but not in a registry.
        (f"a.example/{'0a' * 32}", ImageReference("a.example", "0a" * 32)),
    ],
)
def test_a_reference_has_parts(text: str, expected: ImageReference) -> None:
    assert parse_image(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "@",
        ":1",
        "a:",
        "a@",
        "a:1:2",
        "a//b",
        "/a",
        "a/",
        "a.example/",
        "A",
        "kaito/Phi-4",
        "a b",
        "a\n",
        " a",
        "a_",
        "-a",
        "a..b",
        "a___b",
        "https://a.example/b:1",
        "docker://b",
        "a:-1",
        f"a:{'x' * 129}",
        f"{'x' * 256}:1",
        "a.example:port/b",
        "a.example:123456/b",
        "-a.example/b",
        "a..example/b",
        "a@sha256:0a",
        f"a@sha256:{'0A' * 32}",
        f"a@{'0a' * 32}",
        f"a@{SHA256}@{SHA256}",
        f"a@{SHA256}:1",
        "0a" * 32,
        "ä",
    ],
)
def test_anything_else_is_no_reference(text: str) -> None:
    assert parse_image(text) is None


@pytest.mark.parametrize(
    ("text", "is_pinned", "is_moving"),
    [
        ("a", False, True),
        ("a:latest", False, True),
        ("a:1", False, False),
        (f"a@{SHA256}", True, False),
        (f"a:latest@{SHA256}", True, False),
    ],
)
def test_only_a_digest_means_the_same_image_for_ever(
    text: str, is_pinned: bool, is_moving: bool
) -> None:
    reference = parse_image(text)
    assert reference is not None
    assert (reference.is_pinned, reference.is_moving) == (is_pinned, is_moving)


@given(st.text(alphabet="aA1:/@.-_[] \n", max_size=40) | st.text(max_size=40))
def test_any_text_can_be_looked_at(text: str) -> None:
    reference = parse_image(text)
    if reference is not None:
        whole = f"{reference.registry}/" if reference.registry else ""
        whole += reference.repository
        whole += f":{reference.tag}" if reference.tag else ""
        whole += f"@{reference.digest}" if reference.digest else ""
        assert whole == text


@pytest.mark.parametrize(
    ("name", "is_container", "is_object"),
    [
        ("a", True, True),
        ("1a", True, True),
        ("a.b", False, True),
        ("x" * 63, True, True),
        ("x" * 64, False, True),
        ("x" * 254, False, False),
        ("", False, False),
        ("-a", False, False),
        ("a-", False, False),
        ("A", False, False),
        ("a\n", False, False),
        ("a..b", False, False),
    ],
)
def test_names_of_containers_have_no_dots_and_are_shorter(
    name: str, is_container: bool, is_object: bool
) -> None:
    assert (is_container_name(name), is_object_name(name)) == (is_container, is_object)
