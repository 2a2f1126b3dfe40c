/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>
#include <openssl/evp.h>
#include "audit_line.h"
#include "log.h"
#include "pkcs11/log.h"

#define BEGIN      "{\"seq\":"
#define HASH_BEGIN ",\"this\":\""
#define HASH_END   "\"}"
#define LEN(text)  (sizeof(text) - 1)
#define HEX_LEN    (AUDIT_HASH - 1)
#define END_LEN    (LEN(HASH_BEGIN) + HEX_LEN + LEN(HASH_END))
#define TEXT_MAX   128
#define HASH_BYTES 32

void audit_hex(const unsigned char *data, size_t len, char *hex)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < len; i++) {
        *hex++ = digits[data[i] >> 4];
        *hex++ = digits[data[i] & 15];
    }
    *hex = '\0';
}

bool audit_hash(const void *data, size_t len, char hash[AUDIT_HASH])
{
    unsigned char md[EVP_MAX_MD_SIZE];
    bool ok = EVP_Digest(data, len, md, NULL, EVP_sha256(), NULL) == 1;

    if (ok)
        audit_hex(md, HASH_BYTES, hash);
    return ok;
}

/* A name that is no UTF-8 must not lose the line. */
static json_t *make_text(const char *text)
{
    char copy[TEXT_MAX + 1];
    json_t *string;

    (void)snprintf(copy, sizeof(copy), "%s", text != NULL ? text : "");
    string = json_string(copy);
    if (string == NULL) {
        log_printable(copy);
        string = json_string(copy);
    }
    return string;
}

static json_t *make_hex(const unsigned char *data, size_t len)
{
    char hex[2 * EVP_MAX_MD_SIZE + 1];

    if (len > EVP_MAX_MD_SIZE)
        len = EVP_MAX_MD_SIZE;
    audit_hex(data, data != NULL ? len : 0, hex);
    return json_string(hex);
}

static json_t *make_entry(const struct audit_entry *e)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:i, s:s, s:I}", "id",
                     make_text(e->id), "user", make_text(e->user), "profile",
                     make_text(e->profile), "action", make_text(e->action),
                     "hash", make_text(e->hash), "digest",
                     make_hex(e->digest, e->digest_len), "certificate",
                     make_hex(e->certificate, HASH_BYTES), "status", e->status,
                     "result", e->good ? "signed" : "failed", "ms",
                     (json_int_t)e->ms);
}

/* All but "this"; NULL is no memory.  In ASCII, whatever shows it. */
static char *make_json(const struct audit_entry *e,
                       const struct audit_line *line)
{
    char now[P11_LOG_TIME], *text = NULL;
    json_t *json, *more;

    p11_log_time(now);
    json = json_pack("{s:I, s:s}", "seq", (json_int_t)line->seq, "time", now);
    more = e != NULL ? make_entry(e) : json_pack("{s:s}", "event", "opened");
    if (json != NULL && more != NULL && json_object_update(json, more) == 0 &&
        (line->torn[0] == '\0' ||
         json_object_set_new(json, "torn", json_string(line->torn)) == 0) &&
        json_object_set_new(json, "prev", json_string(line->prev)) == 0)
        text = json_dumps(json, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(more);
    json_decref(json);
    return text;
}

size_t audit_line_make(const struct audit_entry *e, struct audit_line *line,
                       char text[AUDIT_LINE_MAX])
{
    char *json = make_json(e, line);
    size_t len = json != NULL ? strlen(json) - 1 : 0; /* without its brace */
    int n = 0;

    if (len > 0 && audit_hash(json, len, line->this))
        n = snprintf(text, AUDIT_LINE_MAX, "%.*s%s%s%s\n", (int)len, json,
                     HASH_BEGIN, line->this, HASH_END);
    free(json);
    return n > 0 && (size_t)n < AUDIT_LINE_MAX ? (size_t)n : 0;
}

static bool read_hash(const json_t *json, const char *name,
                      char hash[AUDIT_HASH])
{
    const char *text = json_string_value(json_object_get(json, name));

    if (text == NULL || strlen(text) != HEX_LEN ||
        strspn(text, "0123456789abcdef") != HEX_LEN)
        return false;
    memcpy(hash, text, AUDIT_HASH);
    return true;
}

/* Of what has the right hash. */
static bool read_json(const char *text, size_t len, struct audit_line *line)
{
    json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
    json_int_t seq = json_integer_value(json_object_get(json, "seq"));
    bool good = seq > 0 && read_hash(json, "prev", line->prev) &&
                read_hash(json, "this", line->this);

    line->seq = good ? (uint64_t)seq : 0;
    line->torn[0] = '\0';
    if (good && json_object_get(json, "torn") != NULL)
        good = read_hash(json, "torn", line->torn);
    json_decref(json);
    return good;
}

enum audit_line_state audit_line_read(const char *text, size_t len,
                                      struct audit_line *line)
{
    size_t begin = len < LEN(BEGIN) ? len : LEN(BEGIN);
    size_t end = len > END_LEN ? len - END_LEN : 0;
    char hash[AUDIT_HASH];

    if (len == 0 || memcmp(text, BEGIN, begin) != 0)
        return AUDIT_LINE_ALIEN;
    if (len < LEN(BEGIN) ||
        memcmp(text + len - LEN(HASH_END), HASH_END, LEN(HASH_END)) != 0)
        return AUDIT_LINE_CUT;
    if (end == 0 || memcmp(text + end, HASH_BEGIN, LEN(HASH_BEGIN)) != 0 ||
        !audit_hash(text, end, hash) ||
        memcmp(text + end + LEN(HASH_BEGIN), hash, HEX_LEN) != 0)
        return AUDIT_LINE_ALTERED;
    return read_json(text, len, line) ? AUDIT_LINE_GOOD : AUDIT_LINE_ALTERED;
}
