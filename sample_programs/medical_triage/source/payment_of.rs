//! The payment of a booking: made, asked for, looked at, given back.
//!
//! What lives here: one order for a booking, under a number that is the booking's own, so that whatever is sent twice is
//! paid once; and one refund for an order.

use hostel::payment::{Close, Create, Query, Refund, RefundQuery, Request};
use hostel::{codes, Fail, HostError, OrderResult};

use crate::booking::Booking;
use crate::clinic::Clinic;
use crate::texts;

const WAIT_MS: i64 = 120_000;
/// An order has one refund, however often it is asked for.
const REFUND_NO: &str = "cancelled";

fn number(booking: &Booking) -> String {
    format!("talk-{}", booking.id)
}

/// The order as it is now; None where none was made.
pub fn of(booking: &Booking) -> Result<Option<OrderResult>, HostError> {
    match (Query { out_trade_no: Some(&number(booking)), ..Default::default() }).call() {
        Ok(order) => Ok(Some(order)),
        Err(error) if error.is(codes::NOT_FOUND) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Asks the user to pay, in the host's cashier; the order as it is then.
pub fn ask(clinic: &Clinic, booking: &Booking) -> Result<OrderResult, HostError> {
    let number = number(booking);
    let order = Create {
        key: &number,
        out_trade_no: &number,
        amount: booking.fee.clone(),
        subject: clinic.language.pick(texts::SUBJECT),
        ..Default::default()
    };
    let order = match of(booking)? {
        Some(order) => order,
        None => order.call()?,
    };
    Request { order_id: &order.order_id, wait_ms: Some(WAIT_MS) }.call()
}

/// Gives an order up that was not paid.
pub fn close(booking: &Booking, order: &OrderResult) -> Result<(), HostError> {
    let key = format!("close-{}", number(booking));
    Close { key: &key, order_id: &order.order_id }.call().map(|_| ())
}

/// Gives the fee back. A refusal is kept under its key, so each try has its own; the refund's number makes it one.
pub fn refund(clinic: &Clinic, booking: &Booking, order: &OrderResult) -> Result<(), Fail> {
    let key = format!("back-{}-{}", booking.id, clinic.now_ms);
    let refund = Refund {
        key: &key,
        order_id: &order.order_id,
        out_request_no: REFUND_NO,
        amount: booking.fee.amount,
        reason: clinic.language.pick(texts::REFUND_REASON),
    };
    match refund.call() {
        Ok(_) => Ok(()),
        Err(error) if error.is(codes::UNKNOWN_OUTCOME) => {
            // The answer was lost, maybe not the refund: the host knows.
            RefundQuery { order_id: &order.order_id, out_request_no: REFUND_NO }.call()?;
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}
