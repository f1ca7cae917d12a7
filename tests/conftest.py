"""For every test: what is inherited of whoever started them does not change what they find."""

from __future__ import annotations

import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background of a shell: the commands that tests end as Ctrl-C ends them would ignore it too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
