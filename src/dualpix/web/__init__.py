"""The page and its HTTP endpoint: `dualpix web`. Needs the extra `web` (Starlette, uvicorn, python-multipart).

limits: what is allowed · http_errors: answers that refuse · pipeline: pictures in, pictures out · job: a pair and
its states · space: the disk · workers: the threads that work · jobs: all jobs · counters: counts and log · uploads:
files as they arrive · guard: checks on every request · connections: time limits and room before any request · app: the
routes · openapi: their description · folders: where uploads lie, and what killed servers left · serving: run it ·
page/: what the browser gets · assets: that,
filled in.
"""
