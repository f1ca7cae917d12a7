/* shop.h: what this installation of the shop is: the time, the rules of delivery, the goods on sale.
 *
 * Everything here is read once per message from session.info: a shopkeeper changes fee, opening offset and catalogue in
 * the configuration of the installation, without building anything. What must not live here: carts and orders.
 */
#ifndef SHOP_H
#define SHOP_H

#include "hostel_api.h"

#define CURRENCY "CNY"
#define CATALOGUE_MOST 100
#define SKU_BYTES 32
#define NAME_BYTES 64
#define PRICE_MOST 10000000 /* 100,000 yuan: more is a typing error */

typedef struct {
    hostel_text sku, name_zh, name_en, unit_zh, unit_en, stock;
    int64_t price; /* fen, for one unit */
} shop_item;

static struct {
    int64_t now_ms, delivery_fee, free_delivery_from, utc_offset_minutes;
    hostel_text name, staff_code;
    uint32_t size;
    shop_item items[CATALOGUE_MOST];
} shop;

/* The goods of a shop that was installed without a catalogue of its own. stock: plenty, few or sold_out. */
static const struct {
    const char *sku, *name_zh, *name_en, *unit_zh, *unit_en, *stock;
    int64_t price;
} SHOP_GOODS[] = {
    {"apple", "红富士苹果", "Fuji apples", "500 克", "500 g", "plenty", 690},
    {"banana", "香蕉", "Bananas", "1 公斤", "1 kg", "plenty", 880},
    {"tomato", "番茄", "Tomatoes", "500 克", "500 g", "plenty", 450},
    {"cucumber", "黄瓜", "Cucumbers", "500 克", "500 g", "plenty", 390},
    {"potato", "土豆", "Potatoes", "1 公斤", "1 kg", "plenty", 420},
    {"bok_choy", "小白菜", "Bok choy", "300 克", "300 g", "few", 360},
    {"tofu", "北豆腐", "Firm tofu", "400 克", "400 g", "plenty", 350},
    {"eggs", "鲜鸡蛋", "Fresh eggs", "10 个", "10", "plenty", 1290},
    {"milk", "鲜牛奶", "Fresh milk", "950 毫升", "950 ml", "plenty", 1580},
    {"rice", "东北大米", "Northeast rice", "5 公斤", "5 kg", "plenty", 3990},
    {"noodles", "挂面", "Dried noodles", "900 克", "900 g", "plenty", 990},
    {"pork_belly", "五花肉", "Pork belly", "500 克", "500 g", "few", 1880},
    {"chicken", "三黄鸡", "Whole chicken", "1 只", "1", "few", 3280},
    {"shrimp", "鲜虾", "Fresh shrimp", "500 克", "500 g", "sold_out", 4590},
    {"soy_sauce", "生抽酱油", "Light soy sauce", "500 毫升", "500 ml", "plenty", 1150},
    {"green_tea", "龙井茶", "Longjing tea", "100 克", "100 g", "few", 6800},
};

/* These two end a function that answers true or false with the reply written. */
static bool refuse(hostel_reply *reply, const char *code, const char *message) {
    hostel_fail(reply, code, message);
    return false;
}

static bool pass_on(hostel_reply *reply, const hostel_call *call) {
    hostel_pass_on(reply, &call->error);
    return false;
}

static const shop_item *shop_find(hostel_text sku) {
    for (uint32_t i = 0; i < shop.size; i++)
        if (hostel_same(shop.items[i].sku, sku)) return &shop.items[i];
    return NULL;
}

/* A name is one text for all languages, or a map of them; where one is missing the other stands in. */
static bool shop_read_name(hostel_reader value, hostel_text *zh, hostel_text *en) {
    if (hostel_text_between(value, 1, NAME_BYTES, zh)) {
        *en = *zh;
        return true;
    }
    bool has_zh = hostel_text_between(hostel_find(value, "zh"), 1, NAME_BYTES, zh);
    bool has_en = hostel_text_between(hostel_find(value, "en"), 1, NAME_BYTES, en);
    if (!has_zh) *zh = *en;
    if (!has_en) *en = *zh;
    return has_zh || has_en;
}

static bool shop_read_item(hostel_text sku, hostel_reader value, shop_item *item) {
    item->sku = sku;
    item->stock = hostel_text_of("plenty");
    (void)hostel_text_between(hostel_find(value, "stock"), 1, NAME_BYTES, &item->stock);
    return sku.size >= 1 && sku.size <= SKU_BYTES &&
           shop_read_name(hostel_find(value, "name"), &item->name_zh, &item->name_en) &&
           shop_read_name(hostel_find(value, "unit"), &item->unit_zh, &item->unit_en) &&
           hostel_int_between(hostel_find(value, "price"), 1, PRICE_MOST, &item->price);
}

static void shop_use_own_goods(void) {
    for (shop.size = 0; shop.size < sizeof SHOP_GOODS / sizeof SHOP_GOODS[0]; shop.size++) {
        shop_item *item = &shop.items[shop.size];
        item->sku = hostel_text_of(SHOP_GOODS[shop.size].sku);
        item->name_zh = hostel_text_of(SHOP_GOODS[shop.size].name_zh);
        item->name_en = hostel_text_of(SHOP_GOODS[shop.size].name_en);
        item->unit_zh = hostel_text_of(SHOP_GOODS[shop.size].unit_zh);
        item->unit_en = hostel_text_of(SHOP_GOODS[shop.size].unit_en);
        item->stock = hostel_text_of(SHOP_GOODS[shop.size].stock);
        item->price = SHOP_GOODS[shop.size].price;
    }
}

/* config.catalogue: {sku: {name, unit, price, stock}}. One wrong item and the shop stays shut: a price that is silently
 * left out, or taken from another list, costs more than an error. */
static bool shop_use_catalogue(hostel_reader catalogue, hostel_reply *reply) {
    uint32_t count = hostel_read_map(&catalogue);
    for (shop.size = 0; shop.size < count || catalogue.bad; shop.size++) {
        hostel_text sku = hostel_read_text(&catalogue);
        if (catalogue.bad || shop.size == CATALOGUE_MOST || !shop_read_item(sku, catalogue, &shop.items[shop.size])) {
            hostel_writer *details = hostel_fail_with(reply, "bad_config", "an item of the catalogue is not valid", 1);
            hostel_put_string(details, "sku"), hostel_put_text(details, sku);
            return false;
        }
        hostel_skip(&catalogue);
    }
    return true;
}

/* Takes a whole number from the configuration, or leaves what is set if it says nothing. */
static bool shop_setting(hostel_reader config, const char *name, int64_t least, int64_t most, int64_t *value,
                         hostel_reply *reply) {
    hostel_reader setting = hostel_find(config, name);
    if (hostel_peek(setting) == HOSTEL_NONE || hostel_int_between(setting, least, most, value)) return true;
    hostel_writer *details = hostel_fail_with(reply, "bad_config", "a setting of the shop is not valid", 3);
    hostel_put_string(details, "setting"), hostel_put_string(details, name);
    hostel_put_string(details, "least"), hostel_put_int(details, least);
    hostel_put_string(details, "most"), hostel_put_int(details, most);
    return false;
}

/* False: the reply already says why. */
static bool shop_open(hostel_reply *reply) {
    hostel_call call;
    if (!hostel_session_info(&call)) return pass_on(reply, &call);
    hostel_reader config = hostel_find(call.result, "config"), catalogue = hostel_find(config, "catalogue");
    shop.delivery_fee = 600;          /* 6 yuan */
    shop.free_delivery_from = 9900;   /* from 99 yuan on: none */
    shop.utc_offset_minutes = 8 * 60; /* China has one time and no summer time */
    shop.name = hostel_text_of("鲜到家买菜");
    (void)hostel_text_between(hostel_find(config, "shop"), 1, NAME_BYTES, &shop.name);
    shop.staff_code.size = 0; /* without one nobody is a packer */
    (void)hostel_text_between(hostel_find(config, "staff_code"), 8, 64, &shop.staff_code);
    if (!hostel_int_between(hostel_find(call.result, "time_ms"), 0, 9999999999999, &shop.now_ms))
        return refuse(reply, "no_time", "session.info did not tell the time");
    if (!shop_setting(config, "delivery_fee", 0, PRICE_MOST, &shop.delivery_fee, reply) ||
        !shop_setting(config, "free_delivery_from", 0, PRICE_MOST, &shop.free_delivery_from, reply) ||
        !shop_setting(config, "utc_offset_minutes", -12 * 60, 14 * 60, &shop.utc_offset_minutes, reply))
        return false;
    if (hostel_peek(catalogue) != HOSTEL_NONE) return shop_use_catalogue(catalogue, reply);
    shop_use_own_goods();
    return true;
}

static void put_languages(hostel_writer *w, hostel_text zh, hostel_text en) {
    hostel_put_map(w, 2);
    hostel_put_string(w, "zh"), hostel_put_text(w, zh);
    hostel_put_string(w, "en"), hostel_put_text(w, en);
}

/* catalogue.list {} */
static void catalogue_list(hostel_reply *reply) {
    hostel_writer *w = hostel_result(reply);
    hostel_put_map(w, 4);
    hostel_put_string(w, "shop"), hostel_put_text(w, shop.name);
    hostel_put_string(w, "delivery_fee"), hostel_put_money(w, shop.delivery_fee, CURRENCY);
    hostel_put_string(w, "free_delivery_from"), hostel_put_money(w, shop.free_delivery_from, CURRENCY);
    hostel_put_string(w, "items"), hostel_put_array(w, shop.size);
    for (uint32_t i = 0; i < shop.size; i++) {
        hostel_put_map(w, 5);
        hostel_put_string(w, "sku"), hostel_put_text(w, shop.items[i].sku);
        hostel_put_string(w, "name"), put_languages(w, shop.items[i].name_zh, shop.items[i].name_en);
        hostel_put_string(w, "unit"), put_languages(w, shop.items[i].unit_zh, shop.items[i].unit_en);
        hostel_put_string(w, "price"), hostel_put_money(w, shop.items[i].price, CURRENCY);
        hostel_put_string(w, "stock"), hostel_put_text(w, shop.items[i].stock);
    }
}

#endif
