//! The codec of the Rust SDK, for the vectors of host_api/guest/vectors.json: reads one value and writes it anew. And the
//! rest of the SDK, method by method, for tests/samples/test_rust_sdk.py.

#![deny(warnings)]

use hostel::{list, map, payment, storage, wire, Fail, Request, Value, Waited};

fn handle(request: &Request) -> Result<Value, Fail> {
    match request.method.as_str() {
        "codec.echo" => echo(request),
        "value" => Ok(request.params.get("value").clone()),
        "call" => Ok(hostel::call(request.text("method", 1..=64)?, request.params.get("params").clone())?),
        "read" => Ok(storage::Get { key: request.text("key", 1..=256)?, ..Default::default() }.call()?.value),
        "order" => {
            let order = payment::Query { order_id: Some(request.text("id", 1..=64)?), ..Default::default() }.call()?;
            Ok(map! { "status" => order.status, "amount" => order.amount.amount, "captured" => order.captured })
        }
        "post" => post(request),
        "tell" => {
            hostel::notify("log.write", map! { "level" => "info", "message" => "told" })?;
            hostel::warning!("{} bytes", hostel::random(4).len());
            Ok(Value::Nil)
        }
        "panic" => panic!("no {} left", request.int("number", 0..=9)?),
        "bounds" => Ok([1, 2, 3][request.int("number", 0..=9)? as usize].into()),
        "deep" => Ok((0..request.int("levels", 0..=99)?).fold(Value::Nil, |value, _| list![value])),
        "nan" => Ok(Value::Float(f64::NAN)),
        "grow" => Ok(Value::Bytes(vec![7; request.int("bytes", 0..=1 << 30)? as usize])),
        "notified" => Err(Fail::new("not_now", "never shown")),
        _ => Err(Fail::unknown_method("what its source says")),
    }
}

hostel::main!(handle);

fn echo(request: &Request) -> Result<Value, Fail> {
    let bytes = request.params.get("bytes").bytes().unwrap_or_default();
    let value = wire::decode(bytes).map_err(|_| Fail::new("invalid", "not one value of the wire"))?;
    let written = wire::encode(&value).map_err(|_| Fail::new("unencodable", "what was read cannot be written"))?;
    Ok(map! { "bytes" => Value::Bytes(written) })
}

/// Posts a request for each key, and gives the answers in the order in which they came.
fn post(request: &Request) -> Result<Value, Fail> {
    let mut tickets = Vec::new();
    for key in request.params.get("keys").items() {
        tickets.push(storage::Get { key: key.text().unwrap_or_default(), ..Default::default() }.post()?);
    }
    let mut came = Vec::new();
    loop {
        match hostel::wait(-1) {
            Waited::Answer(ticket, outcome) => {
                let which = tickets.iter().position(|posted| *posted == ticket);
                let value = outcome.ok().and_then(storage::GetResult::read).map(|found| found.value);
                came.push(map! { "which" => which, "value" => value });
            }
            Waited::TimedOut => return Err(Fail::new("timed_out", "none came")),
            Waited::NothingPosted => return Ok(Value::List(came)),
        }
    }
}
