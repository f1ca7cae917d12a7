/* main.c: which method is answered by what. The shop itself: shop.h, cart.h, slots.h, order.h, refunds.h.
 *
 * A fresh sandbox answers each message, so nothing is kept in memory between two: cart and orders live in storage.
 */
#define HOSTEL_REPLY_BYTES 49152u   /* 100 goods with names in two languages */
#define HOSTEL_REQUEST_BYTES 23552u /* the record of an order, see order.h */

#include "refunds.h"

static void hostel_main(const hostel_request *request, hostel_reply *reply) {
    hostel_text method = request->method;
    hostel_reader params = request->params;
    if (request->notification || !shop_open(reply)) return;
    if (hostel_is(method, "catalogue.list")) catalogue_list(reply);
    else if (hostel_is(method, "cart.show")) cart_show(reply);
    else if (hostel_is(method, "cart.add")) cart_update(reply, CART_ADD, hostel_find(params, "items"));
    else if (hostel_is(method, "cart.set")) cart_update(reply, CART_SET, hostel_find(params, "items"));
    else if (hostel_is(method, "cart.clear")) cart_clear(reply);
    else if (hostel_is(method, "slots.list")) slots_list(reply);
    else if (hostel_is(method, "checkout")) checkout(reply, params);
    else if (hostel_is(method, "order.show")) order_show(reply, params);
    else if (hostel_is(method, "orders.list")) orders_list(reply, params);
    else if (hostel_is(method, "staff.join")) staff_join(reply, params);
    else if (hostel_is(method, "order.missing")) order_missing(reply, params);
    else hostel_fail(reply, "unknown_method", "this shop answers catalogue.list, cart.show, cart.add, cart.set, cart.clear, "
                     "slots.list, checkout, order.show, orders.list, staff.join and order.missing");
}
