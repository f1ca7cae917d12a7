//! A guest book: visitors sign it, read it, and leave a tip if they like.
//!
//! `handle` says which method is answered by what; `hostel test` plays scenarios/*.json against them.

use hostel::storage::{self, Scope};
use hostel::{codes, list, map, payment, session, Fail, Money, Request, Value};

const KEPT: usize = 20; // entries, the newest
const TEXT_CHARS: usize = 140;
const TIP_MOST: i64 = 20_000; // fen: 200.00 CNY
const CURRENCY: &str = "CNY";
const TRIES: usize = 10;

fn handle(request: &Request) -> Result<Value, Fail> {
    match request.method.as_str() {
        "sign" => sign(request),
        "list" => entries(),
        "tip" => tip(request),
        _ => Err(Fail::unknown_method("sign, list and tip")),
    }
}

hostel::main!(handle);

fn sign(request: &Request) -> Result<Value, Fail> {
    let text = request.params.get("text").text().unwrap_or_default().trim();
    if text.is_empty() {
        return Err(Fail::new("empty", "write something first"));
    }
    if text.chars().count() > TEXT_CHARS {
        return Err(Fail::new("too_long", "at most 140 characters"));
    }
    let entry = map! { "text" => text, "at_ms" => session::Info.call()?.time_ms };
    let book = change("book", |book| {
        let count = book.get("count").int().unwrap_or(0) + 1;
        let older = book.get("entries").items().iter().take(KEPT - 1).cloned();
        let entries: Vec<Value> = std::iter::once(entry.clone()).chain(older).collect();
        map! { "count" => count, "entries" => entries }
    })?;
    Ok(map! { "count" => book.get("count"), "entry" => entry })
}

fn entries() -> Result<Value, Fail> {
    let book = storage::Get { key: "book", scope: Some(Scope::Program) }.call()?;
    Ok(map! { "entries" => if book.found { book.value.get("entries").clone() } else { list![] } })
}

fn tip(request: &Request) -> Result<Value, Fail> {
    let amount = match request.params.get("amount").int() {
        Some(amount) if (1..=TIP_MOST).contains(&amount) => amount,
        _ => return Err(Fail::new("bad_amount", "a tip is 1 to 20000 fen").with("most", TIP_MOST)),
    };
    // The number is the program's own and used once; the user decides in the host's cashier, never here.
    let number = change("tips", |tips| Value::from(tips.int().unwrap_or(0) + 1))?;
    let number = format!("tip-{}", number.int().unwrap_or(0));
    let order = payment::Create {
        key: &number,
        out_trade_no: &number,
        amount: Money { amount, currency: String::from(CURRENCY) },
        subject: "A tip for the guest book",
        ..Default::default()
    }
    .call()?;
    let asked = payment::Request { order_id: &order.order_id, wait_ms: Some(60_000) }.call();
    match asked.as_ref().map(|order| order.status.as_str()) {
        Ok("succeeded") => Ok(map! { "paid" => true, "order_id" => order.order_id }),
        Ok("confirming") => Ok(map! { "paid" => false, "order_id" => order.order_id }), // not decided yet
        Ok(_) => {
            hostel::info!("a tip was declined");
            Err(Fail::new("declined", "no tip then; you are welcome all the same"))
        }
        Err(error) => Err(error.clone().into()), // the host's word is the answer
    }
}

/// Changes what all visitors share. Two may write at once: who comes second is refused, reads again and tries again.
fn change(key: &str, step: impl Fn(&Value) -> Value) -> Result<Value, Fail> {
    for _ in 0..TRIES {
        let stored = storage::Get { key, scope: Some(Scope::Program) }.call()?;
        let next = step(&stored.value);
        let put =
            storage::Put { key, value: next.clone(), scope: Some(Scope::Program), if_version: Some(stored.version) };
        match put.call() {
            Ok(_) => return Ok(next),
            Err(error) if error.is(codes::VERSION_CONFLICT) => continue,
            Err(error) => return Err(error.into()),
        }
    }
    Err(Fail::new("too_busy", "many write at this moment; try again"))
}
