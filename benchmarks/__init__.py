"""aio-alf beside bare aiohttp and beside its peers: ``python -m benchmarks``, or ``make bench``.

The parent process (`__main__`, `scenarios`) measures nothing itself. It starts one load server (`server`)
and workers (`worker`), each in the environment of its contender, and talks to them in lines of JSON.
A worker imports nothing but what its contender needs, so this package is importable without aioalf.
"""
