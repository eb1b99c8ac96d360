-- Control requests on connections that stay: heartbeats, publishes that nobody listens to, refreshes of a poll session.
--
--   wrk -t1 -c64 -d5 -s perf/wrk/control.lua URL -- what=hb
--
--   what=hb|publish|refresh   which request [hb]
--   door=PATH                 where the Pushlet protocol is [/pushlet.srv]
--   subject=SUBJECT           of publish: nobody listens to it [/wrk/nobody]
--   id=ID mark=TEXT           for a server without sessions, `return 200` of nginx: the same requests with this id, and every answer must be
--                             200 and hold this text
--
-- There is one session for each connection. They are joined by the first requests and left to their lease.

local here = string.match(debug.getinfo(1, "S").source, "^@(.*/)") or "./"
local common = dofile(here .. "common.lua")

local marks = { hb = '"p_event":"hb-ack"', publish = '"p_event":"publish-ack"', refresh = '"p_event":"hb"' }

local requests, next_request = {}, 0
local join, what, mark, tail

-- Adds the request of a session to those that are sent in turn.
local function add(id, words)
    table.insert(requests, common.get(words.door .. "?p_event=" .. what .. "&p_id=" .. id .. tail))
end

local words

function init(args)
    words = common.words(args, { what = "hb", door = "/pushlet.srv", subject = "/wrk/nobody", id = "", mark = "" })
    what, mark = words.what, marks[words.what]
    if mark == nil then
        error("not understood: what=" .. what, 0)
    end
    tail = what == "publish" and "&p_subject=" .. words.subject .. "&text=0123456789012345678901234567890123456789012345678901234567890123" or ""
    if words.id ~= "" then
        mark = words.mark
        add(words.id, words)
    end
    local listening = what == "refresh" and "p_event=join-listen&p_mode=poll&p_subject=/wrk/quiet" or "p_event=join"
    join = common.get(words.door .. "?" .. listening .. "&p_format=json")
end

function request()
    local count = #requests
    if count == 0 then
        return join
    end
    next_request = next_request % count + 1
    return requests[next_request]
end

local function joined(status, body)
    local id = status == 200 and common.id_of(body, what == "refresh" and "join-listen-ack" or "join-ack")
    if id then
        joined_answers = joined_answers + 1
        add(id, words)
    end
    return id
end

function response(status, _, body)
    if common.is_ack(status, body, mark) then
        common.right()
    elseif not joined(status, body) then
        common.wrong(status, body)
    end
end
