-- Publishing without a session: POST /v1/publish, one event a request. (By the Pushlet door: control.lua with what=publish.)
--
--   wrk -t1 -c64 -d5 -s perf/wrk/publish.lua URL -- subject=/wrk/nobody
--
--   door=PATH          where events are published [/v1/publish]
--   subject=SUBJECT    [/wrk/nobody]
--   status=N mark=TEXT for another server, `return 200` of nginx: every answer must have this status and hold this text

local here = string.match(debug.getinfo(1, "S").source, "^@(.*/)") or "./"
local common = dofile(here .. "common.lua")

local body = '{"text":"0123456789012345678901234567890123456789012345678901234567890123"}'
local mark, wanted, message

function init(args)
    local defaults = { door = "/v1/publish", subject = "/wrk/nobody", status = "202", mark = '"accepted":1,"refused":0' }
    local words = common.words(args, defaults)
    mark, wanted = words.mark, tonumber(words.status)
    message = wrk.format("POST", words.door .. "?subject=" .. words.subject, { ["Content-Type"] = "application/json" }, body)
end

function request()
    return message
end

function response(status, _, answer)
    if status == wanted and string.find(answer, mark, 1, true) then
        common.right()
    else
        common.wrong(status, answer)
    end
end
