//! Parses a request's head from HTTP/1.1 text or from the output of `curl -v`, as a proxy does for the filter.

/// A request's header lines, pseudo-headers first.
pub(super) type Lines = Vec<(String, Vec<u8>)>;

/// The header lines of a request line and the lines that follow, up to an empty line. Values may be any bytes.
///
/// In the output of `curl -v` only the lines that curl sent count. They begin with `>`.
pub(super) fn parse(text: &[u8]) -> Result<Lines, String> {
    let is_sent = |line: &[u8]| line == b">" || line.starts_with(b"> ");
    let is_curl = text.split(|b| *b == b'\n').any(|line| is_sent(without_cr(line)));
    let lines = text.split(|b| *b == b'\n').map(without_cr).enumerate();
    let mut lines = lines
        .filter(|(_, line)| !is_curl || is_sent(line))
        .map(|(i, line)| {
            (
                i + 1,
                if is_curl {
                    line.get(2..).unwrap_or_default()
                } else {
                    line
                },
            )
        })
        .skip_while(|(_, line)| line.is_empty())
        .take_while(|(_, line)| !line.is_empty());
    let (_, first) = lines.next().ok_or("there is no request in it")?;
    let mut head =
        request_line(first).ok_or("the first line must be a request line such as: GET /path HTTP/1.1")?;
    let mut host = None;
    for (number, line) in lines {
        let wrong = |what: &str| format!("line {number}: {what}");
        let colon = line.iter().position(|b| *b == b':');
        let (name, value) = colon
            .and_then(|colon| line.split_at_checked(colon))
            .ok_or_else(|| wrong("must be NAME: VALUE"))?;
        let name = std::str::from_utf8(name)
            .ok()
            .filter(|name| pinion::http::header::is_token(name));
        let name = name.ok_or_else(|| wrong("must begin with a header's name and a colon"))?;
        let value = pinion::http::header::trim_ows(value.get(1..).unwrap_or_default());
        if value.contains(&b'\r') || value.contains(&0) {
            return Err(wrong("no value holds CR or NUL: a proxy refuses that"));
        }
        match name.to_ascii_lowercase() {
            name if name != "host" => head.push((name, value.to_vec())),
            _ if host.is_some() => return Err(wrong("there is a second Host: a proxy refuses that")),
            _ => host = Some(value.to_vec()),
        }
    }
    if !head.iter().any(|(name, _)| name == ":authority") {
        let host = host.ok_or("there is no Host: a proxy refuses that")?;
        head.insert(1, (":authority".to_owned(), host));
    }
    Ok(head)
}

fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// `GET /path?x HTTP/1.1`, `GET http://host/path HTTP/1.1`, `CONNECT host:443 HTTP/1.1`
fn request_line(line: &[u8]) -> Option<Lines> {
    let first = line.iter().position(|b| *b == b' ')?;
    let last = line.iter().rposition(|b| *b == b' ')?;
    let (method, target) = (line.get(..first)?, line.get(first + 1..last)?);
    let version = line.get(last..)?.starts_with(b" HTTP/");
    let token = std::str::from_utf8(method).is_ok_and(pinion::http::header::is_token);
    if !version || !token || target.is_empty() {
        return None;
    }
    let pseudo = |name: &str, value: &[u8]| (name.to_owned(), value.to_vec());
    let mut lines = vec![pseudo(":method", method)];
    let absolute = target.windows(3).position(|part| part == b"://");
    let absolute = absolute.filter(|_| !target.starts_with(b"/"));
    if method == b"CONNECT" {
        lines.push(pseudo(":authority", target));
    } else if let Some(rest) = absolute.and_then(|at| target.get(at + 3..)) {
        let slash = rest
            .iter()
            .position(|b| matches!(b, b'/' | b'?'))
            .unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(slash)?;
        let root: &[u8] = if path.starts_with(b"/") { b"" } else { b"/" };
        lines.push(pseudo(":authority", authority));
        lines.push(pseudo(":path", &[root, path].concat()));
    } else {
        lines.push(pseudo(":path", target));
    }
    Some(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Result<String, String> {
        let line = |(name, value): (String, Vec<u8>)| format!("{name}={}", value.escape_ascii());
        parse(text).map(|lines| lines.into_iter().map(line).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn a_head_is_parsed_as_a_proxy_parses_it() {
        for (text, expected) in [
            (
                &b"GET /a?b HTTP/1.1\r\nHost: x\r\nA: \t1 \r\na:\xff\r\n\r\nbody: no"[..],
                ":method=GET :authority=x :path=/a?b a=1 a=\\xff",
            ),
            (b"\n\nPUT / HTTP/2\nhost: x", ":method=PUT :authority=x :path=/"),
            (
                b"* Trying\n> GET / HTTP/1.1\r\n> Host: x\r\n> \r\n< HTTP/1.1 200 OK\n< A: b\n",
                ":method=GET :authority=x :path=/",
            ),
            (
                b"> GET / HTTP/1.1\n> Host: x\n>\n> GET /2 HTTP/1.1\n",
                ":method=GET :authority=x :path=/",
            ),
            (
                b"GET http://y:1/a?u=b://c HTTP/1.1\nHost: x",
                ":method=GET :authority=y:1 :path=/a?u=b://c",
            ),
            (b"GET http://y?q HTTP/1.1", ":method=GET :authority=y :path=/?q"),
            (
                b"GET /?to=http://z HTTP/1.1\nHost: x",
                ":method=GET :authority=x :path=/?to=http://z",
            ),
            (
                b"CONNECT x:443 HTTP/1.1\nHost: x",
                ":method=CONNECT :authority=x:443",
            ),
            (
                b"OPTIONS * HTTP/1.1\nHost: x",
                ":method=OPTIONS :authority=x :path=*",
            ),
        ] {
            assert_eq!(read(text).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn what_a_proxy_refuses_is_an_error() {
        let line = "the first line must be a request line such as: GET /path HTTP/1.1";
        for (text, expected) in [
            (&b""[..], "there is no request in it"),
            (b"Host: x", line),
            (b"GET HTTP/1.1", line),
            (b"G@T / HTTP/1.1", line),
            (b"GET / HTTP/1.1\nA: b", "there is no Host: a proxy refuses that"),
            (
                b"GET / HTTP/1.1\nHost: x\nHost: y",
                "line 3: there is a second Host: a proxy refuses that",
            ),
            (b"GET / HTTP/1.1\nHost: x\nA", "line 3: must be NAME: VALUE"),
            (
                b"GET / HTTP/1.1\nHost: x\n b: c",
                "line 3: must begin with a header's name and a colon",
            ),
            (
                b"GET / HTTP/1.1\nHost: x\nA: b\rc",
                "line 3: no value holds CR or NUL: a proxy refuses that",
            ),
        ] {
            assert_eq!(read(text), Err(expected.to_owned()));
        }
    }
}
