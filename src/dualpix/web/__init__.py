"""The page and its HTTP endpoint: `dualpix web`. Needs the extra `web` (Starlette, uvicorn, python-multipart).

refusals: what is allowed · work: pictures in, pictures out · jobs: a pair and its states · space: the disk · lanes:
the threads that work · desk: all jobs · tally: counts and log · uploads: files as they arrive · guard: what all
requests must pass · connections: what comes before · app: the routes · openapi: their description · folders: where
uploads lie, and what killed servers left · serving: run it · page/: what the browser gets.
"""
