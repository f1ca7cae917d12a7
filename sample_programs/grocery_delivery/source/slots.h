/* slots.h: when the shop delivers: four windows a day, from one hour ahead to two days ahead.
 *
 * A slot is named by the shop's local day and hour, like 2026-11-23T09. Nothing is kept: which slots there are follows
 * from the time alone.
 */
#ifndef SLOTS_H
#define SLOTS_H

#include "cart.h"

#define SLOT_BYTES 13
#define SLOTS_MOST 12
#define SLOT_HOURS 3
#define HOUR_MS 3600000
#define DAY_MS (24 * (int64_t)HOUR_MS)

typedef struct {
    char name[SLOT_BYTES];
    int64_t hour, starts_ms;
} slot;

/* Writes YYYY-MM-DD for a number of days since 1970-01-01, by counting through the years: a few dozen steps, no table. */
static void put_date(char *at, int64_t days) {
    static const uint8_t LENGTHS[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t year = 1970, month = 0;
    for (;; year++) {
        bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        int64_t length = leap ? 366 : 365;
        if (days >= length) {
            days -= length;
            continue;
        }
        for (;; month++) {
            length = LENGTHS[month] + (leap && month == 1 ? 1 : 0);
            if (days < length) break;
            days -= length;
        }
        break;
    }
    put_digits(at, year, 4);
    at[4] = '-';
    put_digits(at + 5, month + 1, 2);
    at[7] = '-';
    put_digits(at + 8, days + 1, 2);
}

/* Fills in the slots open now, earliest first; returns how many. */
static uint32_t slots_open(slot slots[SLOTS_MOST]) {
    static const uint8_t STARTS[] = {9, 12, 15, 18};
    int64_t offset_ms = shop.utc_offset_minutes * 60000;
    int64_t local_ms = shop.now_ms + offset_ms;
    int64_t today = local_ms > 0 ? local_ms / DAY_MS : 0;
    uint32_t size = 0;
    for (int64_t day = today; day <= today + 2; day++)
        for (uint32_t i = 0; i < sizeof STARTS; i++) {
            int64_t starts_ms = day * DAY_MS + STARTS[i] * (int64_t)HOUR_MS - offset_ms;
            if (starts_ms < shop.now_ms + HOUR_MS || starts_ms >= shop.now_ms + 2 * DAY_MS) continue;
            slots[size].hour = STARTS[i];
            slots[size].starts_ms = starts_ms;
            put_date(slots[size].name, day);
            slots[size].name[10] = 'T';
            put_digits(slots[size].name + 11, STARTS[i], 2);
            size++;
        }
    return size;
}

static hostel_text slot_name(const slot *s) {
    hostel_text name = {(const uint8_t *)s->name, SLOT_BYTES};
    return name;
}

static bool slot_is_open(hostel_text name) {
    slot slots[SLOTS_MOST];
    uint32_t size = slots_open(slots);
    for (uint32_t i = 0; i < size; i++)
        if (hostel_same(slot_name(&slots[i]), name)) return true;
    return false;
}

static void put_hour(hostel_writer *w, int64_t hour) {
    char text[5] = {'0', '0', ':', '0', '0'};
    put_digits(text, hour, 2);
    hostel_put_text(w, (hostel_text){(const uint8_t *)text, sizeof text});
}

/* slots.list {} */
static void slots_list(hostel_reply *reply) {
    slot slots[SLOTS_MOST];
    uint32_t size = slots_open(slots);
    hostel_writer *w = hostel_result(reply);
    hostel_put_map(w, 1);
    hostel_put_string(w, "slots"), hostel_put_array(w, size);
    for (uint32_t i = 0; i < size; i++) {
        hostel_put_map(w, 6);
        hostel_put_string(w, "slot"), hostel_put_text(w, slot_name(&slots[i]));
        hostel_put_string(w, "date"), hostel_put_text(w, (hostel_text){(const uint8_t *)slots[i].name, 10});
        hostel_put_string(w, "from"), put_hour(w, slots[i].hour);
        hostel_put_string(w, "to"), put_hour(w, slots[i].hour + SLOT_HOURS);
        hostel_put_string(w, "starts_ms"), hostel_put_int(w, slots[i].starts_ms);
        hostel_put_string(w, "ends_ms"), hostel_put_int(w, slots[i].starts_ms + SLOT_HOURS * (int64_t)HOUR_MS);
    }
}

#endif
