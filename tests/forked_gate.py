"""The gate's process as a fork of one that has imported TensorFlow: its import takes most of what a gate takes.

Run as a program, this file is the process that is forked: it imports what `replay.py` does, and then runs that file in
a fork for everybody who connects, with the standard streams and the directory of who does. A fork has made no session,
has not heard of seq_models, and dies as a process of its own would.
"""

import atexit
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

# Stands in for the interpreter: hands over its streams, and ends as the fork does.
INTERPRETER = """#!{python} -IS
import os, socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.connect({address!r})
socket.send_fds(connection, ["\\0".join([os.getcwd(), *sys.argv[1:]]).encode()], [0, 1, 2])
code = int(connection.recv(16))
os.kill(os.getpid(), -code) if code < 0 else sys.exit(code)
"""


def forking_python() -> Path:
    """The path of an interpreter whose processes are such forks; it is there as long as this process."""
    folder = Path(tempfile.mkdtemp(prefix="forked-gate-"))
    address, interpreter = folder / "socket", folder / "python"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(address))
    listener.listen()
    words = [sys.executable, __file__, str(listener.fileno())]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, pass_fds=[listener.fileno()])
    listener.close()
    atexit.register(process.communicate)  # the end of its input ends it
    interpreter.write_text(INTERPRETER.format(python=sys.executable, address=str(address)))
    interpreter.chmod(0o700)
    return interpreter


def serve(listener):
    """Forks for everybody who connects, until the input ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the first of two forks
    while sys.stdin not in (ready := select.select([listener, sys.stdin], [], [])[0]):
        connection, _ = ready[0].accept()
        if os.fork() == 0:
            tell_how_it_ends(connection)
        connection.close()


def tell_how_it_ends(connection):
    """Lets a second fork do what was asked for, and says with which code it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    words, streams, _, _ = socket.recv_fds(connection, 65536, 3)
    directory, *arguments = words.decode().split("\0")
    if (child := os.fork()) == 0:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        os.closerange(3, max(streams) + 1)
        os.chdir(directory)
        os._exit(ran(arguments))
    for stream in (0, *streams):  # the end of an input is seen when nobody holds it open
        os.close(stream)
    _, status = os.waitpid(child, 0)
    connection.send(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def ran(arguments):
    """The exit code of a program, as of `python PROGRAM …`."""
    sys.argv, code = arguments, 0
    sys.stdin = open(0)
    try:
        runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        print(end.code, file=sys.stderr) if isinstance(end.code, str) else None
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow  # noqa: F401
    import tensorflow_text  # noqa: F401
    from tensorflow_serving.apis import predict_pb2  # noqa: F401

    serve(socket.socket(fileno=int(sys.argv[1])))
