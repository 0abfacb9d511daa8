"""An occupied address is found before a program dies of it, and its holder is named."""

from __future__ import annotations

import os
import socket

import pytest

from onebox import ports
from onebox.errors import OneboxError

TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1C41 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1
   1: 0100007F:1C41 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 4712 1
   2: 0100007F:192B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1
"""


def test_an_occupied_port_names_the_program_that_wants_it_and_the_one_that_has_it() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(OneboxError) as caught:
            ports.require_free("127.0.0.1", port, "etcd")
    assert f"etcd can't listen on 127.0.0.1:{port}" in caught.value.message
    assert f"held by process {os.getpid()}" in caught.value.message


def test_a_free_port_is_free() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ports.require_free("127.0.0.1", port, "etcd")
    assert not ports.is_open("127.0.0.1", port)


def test_only_listeners_on_the_port_are_read_from_the_kernels_table() -> None:
    assert ports.listening_inodes(TABLE, 0x1C41) == {"4711"}
