-- For wrk: sends the requests of a table in turn, one line each (authorization, tab, body), formatted once before the start.
local requests, last = {}, 0

function init()
  local path = os.getenv("BENCH_PATH")
  for line in io.lines(os.getenv("BENCH_TABLE")) do
    local authorization, body = line:match("^([^\t]*)\t(.*)$")
    local headers = { Authorization = authorization, ["Content-Type"] = "application/json", Host = "localhost" }
    requests[#requests + 1] = wrk.format("POST", path, headers, body)
  end
end

function request()
  last = last % #requests + 1
  return requests[last]
end
