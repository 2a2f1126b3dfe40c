/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "reader.h"

enum state {
    OUTSIDE, /* of strings */
    STRING,  /* in one that is copied */
    STRING_ESCAPE,
    STREAM, /* in one that is not */
    STREAM_ESCAPE,
    STREAM_CODE /* behind \u */
};

/* What a string would be that begins here. */
enum place { ELSEWHERE, NAME, VALUE };

void reader_init(struct reader *r, const struct reader_field *fields,
                 reader_value_fn *value, void *arg)
{
    *r = (struct reader){ .fields = fields, .value = value, .arg = arg };
}

void reader_free(struct reader *r)
{
    if (r->text != NULL)
        explicit_bzero(r->text, r->len); /* the token may be a secret */
    free(r->text);
    r->text = NULL;
}

static void put(struct reader *r, char c)
{
    if (r->text == NULL && (r->text = malloc(READER_TEXT_MAX)) == NULL)
        r->error = "out of memory";
    else if (r->len == READER_TEXT_MAX)
        r->error = "the body has too much besides the document";
    else
        r->text[r->len++] = c;
}

static void hand_on(struct reader *r, const char *text, size_t len)
{
    /* The string of an unknown member goes nowhere. */
    if (r->fields[r->field].name != NULL && r->error == NULL)
        r->error = r->value(r->arg, r->field, text, len);
}

static size_t find_field(const struct reader *r, const char *name, size_t len)
{
    size_t i = 0;

    while (r->fields[i].name != NULL &&
           (strlen(r->fields[i].name) != len ||
            memcmp(r->fields[i].name, name, len) != 0))
        i++;
    return i;
}

/* The name between the quotes; one with a \ in it is for Jansson to read. */
static void take_name(struct reader *r)
{
    const char *quoted = r->text + r->start;
    size_t len = r->len - r->start;
    json_t *name = NULL;

    if (memchr(quoted, '\\', len) != NULL)
        name = json_loadb(quoted, len, JSON_DECODE_ANY, NULL);
    r->field = name != NULL ? find_field(r, json_string_value(name),
                                         json_string_length(name))
                            : find_field(r, quoted + 1, len - 2);
    json_decref(name);
}

static void end_string(struct reader *r)
{
    const char *quoted = r->text + r->start;
    size_t len = r->len - r->start;

    if (r->place == NAME)
        take_name(r);
    else if (r->place == VALUE && memchr(quoted, '\\', len) == NULL)
        hand_on(r, quoted + 1, len - 2);
    r->state = OUTSIDE;
}

static void begin_string(struct reader *r)
{
    const struct reader_field *field = &r->fields[r->field];

    r->start = r->len;
    put(r, '"');
    r->state = STRING;
    if (r->place == VALUE && (field->name == NULL || field->stream)) {
        r->state = STREAM;
        hand_on(r, "", 0);
    }
}

static void outside(struct reader *r, char c)
{
    switch (c) {
    case '"':
        begin_string(r);
        return;
    case ' ':
    case '\t':
    case '\r':
    case '\n':
        /* One is as good as many, and separates as well. */
        if (r->len > 0 && r->text[r->len - 1] == ' ')
            return;
        c = ' ';
        break;
    case '{':
    case '[':
        r->depth++;
        r->place = r->depth == 1 && c == '{' ? NAME : ELSEWHERE;
        break;
    case '}':
    case ']':
        r->depth -= r->depth > 0;
        r->place = ELSEWHERE;
        break;
    case ',':
        r->place = r->depth == 1 ? NAME : ELSEWHERE;
        break;
    case ':':
        r->place = r->depth == 1 ? VALUE : ELSEWHERE;
        break;
    default:
        break;
    }
    put(r, c);
}

/* What stands behind the \, and what it stands for. */
static const char escapes[][2] = {
    { '/', '/' },  { '\\', '\\' }, { '"', '"' },  { 'b', '\b' },
    { 'f', '\f' }, { 'n', '\n' },  { 'r', '\r' }, { 't', '\t' },
};

static void stream_escape(struct reader *r, char c)
{
    r->state = STREAM;
    if (c == 'u') {
        r->code = r->digits = 0;
        r->state = STREAM_CODE;
        return;
    }
    for (size_t i = 0; i < sizeof(escapes) / sizeof(escapes[0]); i++) {
        if (escapes[i][0] == c) {
            hand_on(r, &escapes[i][1], 1);
            return;
        }
    }
    r->error = "the body is not JSON";
}

static void stream_code(struct reader *r, char c)
{
    static const char hex[] = "0123456789abcdefABCDEF";
    const char *digit = c != '\0' ? strchr(hex, c) : NULL;
    unsigned value = digit != NULL ? (unsigned)(digit - hex) : 0;
    char one;

    if (digit == NULL) {
        r->error = "the body is not JSON";
        return;
    }
    r->code = r->code << 4 | (value < 16 ? value : value - 6);
    if (++r->digits < 4)
        return;
    /* What is streamed is ASCII, or in error: any other value will do. */
    one = (char)(r->code < 0x80 ? r->code : 0x7f);
    hand_on(r, &one, 1);
    r->state = STREAM;
}

/* Whether one of the eight bytes of x is below n, which is at most 128. */
#define EACH(n)     (~(uint64_t)0 / 255 * (n))
#define BELOW(x, n) ((((x)-EACH(n)) & ~(x)&EACH(128)) != 0)

/* How many bytes there are, in eights, that a string has as they are. */
static size_t count_plain(const char *data, size_t len)
{
    size_t n = 0;
    uint64_t x;

    for (; len - n >= sizeof(x); n += sizeof(x)) {
        memcpy(&x, data + n, sizeof(x));
        if (BELOW(x, ' ') || BELOW(x ^ EACH('"'), 1) ||
            BELOW(x ^ EACH('\\'), 1))
            break;
    }
    return n;
}

/* As far as it goes in one piece; returns the length. */
static size_t stream(struct reader *r, const char *data, size_t len)
{
    size_t n = count_plain(data, len);

    while (n < len && data[n] != '"' && data[n] != '\\' &&
           (unsigned char)data[n] >= 0x20)
        n++;
    if (n > 0) {
        hand_on(r, data, n);
        return n;
    }
    if (data[0] == '"') {
        put(r, '"');
        r->state = OUTSIDE;
    } else if (data[0] == '\\') {
        r->state = STREAM_ESCAPE;
    } else {
        r->error = "the body is not JSON";
    }
    return 1;
}

static void step(struct reader *r, char c)
{
    switch ((enum state)r->state) {
    case OUTSIDE:
        outside(r, c);
        break;
    case STRING:
        put(r, c);
        if (c == '\\')
            r->state = STRING_ESCAPE;
        else if (c == '"' && r->error == NULL)
            end_string(r);
        break;
    case STRING_ESCAPE:
        put(r, c);
        r->state = STRING;
        break;
    case STREAM_CODE:
        stream_code(r, c);
        break;
    default:
        stream_escape(r, c);
        break;
    }
}

void reader_feed(struct reader *r, const char *data, size_t len)
{
    static const char bom[] = "\xef\xbb\xbf"; /* RFC 8259, 8.1: may ignore */

    while (len > 0 && r->error == NULL) {
        size_t n = 1;

        if (r->bom < 3 && data[0] == bom[r->bom]) {
            r->bom++;
        } else if (r->bom != 0 && r->bom < 3) {
            r->error = "the body is not JSON";
        } else {
            r->bom = 3;
            if (r->state == STREAM)
                n = stream(r, data, len);
            else
                step(r, data[0]);
        }
        data += n;
        len -= n;
    }
}

json_t *reader_end(struct reader *r)
{
    json_t *object = NULL;

    if (r->error == NULL && r->len == 0)
        r->error = "the body is empty";
    if (r->error != NULL)
        return NULL;
    object = json_loadb(r->text, r->len, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(object)) {
        r->error = "the body is not a JSON object";
        json_decref(object);
        return NULL;
    }
    return object;
}
