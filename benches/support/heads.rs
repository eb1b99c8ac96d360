//! Requests as they come over the wire.

/// What `hb` is sent with by a program.
pub(crate) const HEARTBEAT: &[u8] =
    b"GET /pushlet.srv?p_event=hb&p_id=AAZvKX1nq0-cPz3uTqGxwE9g HTTP/1.1\r\nHost: push.example.org\r\n\r\n";

/// A page load of a browser, with all that browsers say of themselves.
const BROWSER: &[u8] = b"GET /pushlet.srv?p_event=join-listen&p_subject=%2Fchat%2Flobby&p_format=json&p_mode=stream HTTP/1.1\r\n\
    Host: push.example.org:8080\r\n\
    Connection: keep-alive\r\n\
    Cache-Control: max-age=0\r\n\
    sec-ch-ua: \"Chromium\";v=\"142\", \"Not_A Brand\";v=\"99\"\r\n\
    sec-ch-ua-mobile: ?0\r\n\
    sec-ch-ua-platform: \"Linux\"\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
    Sec-Fetch-Site: same-origin\r\n\
    Sec-Fetch-Mode: navigate\r\n\
    Sec-Fetch-Dest: iframe\r\n\
    Referer: http://push.example.org:8080/chat/index.html?room=lobby\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: nl-NL,nl;q=0.9,en-US;q=0.8,en;q=0.7\r\n\
    Cookie: session=4f3a9c1d7be2486aa0f5; theme=dark; consent=1\r\n\r\n";

/// The handshake of a WebSocket, from a browser.
const HANDSHAKE: &[u8] = b"GET /v1/ws?subject=/chat HTTP/1.1\r\n\
    Host: push.example.org:8080\r\n\
    Connection: Upgrade\r\n\
    Pragma: no-cache\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36\r\n\
    Upgrade: websocket\r\n\
    Origin: http://push.example.org:8080\r\n\
    Sec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: c29tZSBzaXh0ZWVuIGJ5dA==\r\n\
    Sec-WebSocket-Protocol: pushlet.v1.json\r\n\
    Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";

/// A publish with its body.
const PUBLISH: &[u8] = b"POST /v1/publish HTTP/1.1\r\n\
    Host: push.example.org\r\n\
    User-Agent: curl/8.5.0\r\n\
    Accept: */*\r\n\
    Content-Type: application/json\r\n\
    Content-Length: 90\r\n\r\n\
    {\"subject\":\"/chat/lobby\",\"data\":{\"name\":\"somebody\",\"text\":\"it's quiet in here, isn't it\"}}";

/// All of them by name.
pub(crate) const HEADS: [(&str, &[u8]); 4] =
    [("browser", BROWSER), ("heartbeat", HEARTBEAT), ("handshake", HANDSHAKE), ("publish", PUBLISH)];
