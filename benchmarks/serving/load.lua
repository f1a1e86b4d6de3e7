-- wrk's side: sends the bodies of a folder in turn, and prints what it measured as one line of JSON.
-- Arguments: FOLDER COUNT CONTENT_TYPE [ACCEPT]
local requests, turn = {}, 0

function init(arguments)
  local folder, count, content_type, accept = arguments[1], tonumber(arguments[2]), arguments[3], arguments[4]
  local headers = { ["Content-Type"] = content_type, ["Accept"] = accept }
  for number = 0, count - 1 do
    local file = assert(io.open(folder .. "/" .. number, "rb"))
    requests[number + 1] = wrk.format("POST", nil, headers, file:read("*a"))
    file:close()
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    'MEASURED {"requests": %d, "microseconds": %d, "bytes": %d, "p50_us": %d, "p90_us": %d, "p99_us": %d, ' ..
    '"p999_us": %d, "max_us": %d, "errors": {"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}}\n',
    summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(90),
    latency:percentile(99), latency:percentile(99.9), latency.max, errors.connect, errors.read, errors.write,
    errors.status, errors.timeout))
end
