"""The page and its HTTP endpoint: `dualpix web`. Needs the extra `web` (Starlette, uvicorn, python-multipart).

refusals: what is allowed · work: pictures in, pictures out · desk: jobs and the threads that do them · guard: what all
requests must pass · app: the routes · openapi: their description · serving: run it · page/: what the browser gets.
"""
