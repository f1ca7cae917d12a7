/* forged_order: asks for the order of somebody else, by an id it made up or was told. steal {order_id}.
 *
 * The host must answer exactly as for an id that never was: not_found. What it said is the result, so one can look.
 */
#define HOSTEL_INBOX_BYTES 16384u
#include "hostel.h"

static void hostel_main(const hostel_request *request, hostel_reply *reply) {
    hostel_call call;
    hostel_text order_id = hostel_text_of("0123456789abcdef0123456789abcdef");
    (void)hostel_text_between(hostel_find(request->params, "order_id"), 1, 128, &order_id);
    bool given = hostel_payment_query(&call, order_id);
    hostel_writer *w = hostel_result(reply);
    hostel_put_map(w, 2);
    hostel_put_string(w, "stolen"), hostel_put_bool(w, given);
    hostel_put_string(w, "host_said"), hostel_put_value(w, given ? call.result : call.error.value);
}
