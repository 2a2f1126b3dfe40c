/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What makes a URI one that uri.c must refuse although p11-kit takes it: each
 * reason a class with a predicate.  They judge the text by other means than
 * uri.c does (strsep, strtoul, iconv), in no particular order, and may
 * all hold at once.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <ctype.h>
#include <errno.h>
#include <iconv.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../../pkcs11/uri.h"
#include "uri_classes.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum kind {
    TEXT,
    BYTES,
    TYPE,
    VERSION,
    SLOT,
    PIN_VALUE,
    PIN_SOURCE,
    PATH,
    HASHES
};

static const struct known {
    const char *name;
    enum kind kind;
    bool query;
    size_t max;
} known[] = {
    { "token", TEXT, false, 32 },
    { "manufacturer", TEXT, false, 32 },
    { "serial", TEXT, false, 16 },
    { "model", TEXT, false, 16 },
    { "library-manufacturer", TEXT, false, 32 },
    { "library-description", TEXT, false, 32 },
    { "library-version", VERSION, false, SIZE_MAX },
    { "object", TEXT, false, SIZE_MAX },
    { "type", TYPE, false, SIZE_MAX },
    { "id", BYTES, false, SIZE_MAX },
    { "slot-manufacturer", TEXT, false, 32 },
    { "slot-description", TEXT, false, 64 },
    { "slot-id", SLOT, false, SIZE_MAX },
    { "pin-source", PIN_SOURCE, true, SIZE_MAX },
    { "pin-value", PIN_VALUE, true, P11_PIN_MAX },
    { "module-name", TEXT, true, SIZE_MAX },
    { "module-path", PATH, true, SIZE_MAX },
    { "spki-sha256", HASHES, true, SIZE_MAX }, /* ours */
};

/* One attribute of a text, cut out without judging it. */
struct piece {
    const struct known *known; /* NULL: no such name */
    bool query;                /* behind the "?" */
    bool empty;                /* nothing between two separators */
    char *raw;                 /* behind the "=" */
    char *value;               /* decoded as far as it can be */
    size_t len;                /* of value */
};

struct split {
    const char *text;
    struct piece pieces[256];
    size_t n;
};

static void cut_piece(struct split *split, char *text, bool query)
{
    struct piece *piece = &split->pieces[split->n++];
    char *equals = strchr(text, '=');
    char digits[3] = "";
    size_t i;

    assert_true(split->n <= COUNT(split->pieces));
    memset(piece, 0, sizeof(*piece));
    piece->query = query;
    piece->empty = text[0] == '\0';
    if (equals == NULL)
        equals = text + strlen(text);
    else
        *equals++ = '\0';
    for (i = 0; i < COUNT(known); i++) {
        if (strcmp(known[i].name, text) == 0)
            piece->known = &known[i];
    }
    piece->raw = strdup(equals);
    piece->value = strdup(equals);
    assert_non_null(piece->raw);
    assert_non_null(piece->value);
    for (i = 0; equals[i] != '\0'; i++) {
        piece->value[piece->len] = equals[i];
        if (equals[i] == '%' && isxdigit((unsigned char)equals[i + 1]) &&
            isxdigit((unsigned char)equals[i + 2])) {
            memcpy(digits, equals + i + 1, 2);
            piece->value[piece->len] = (char)strtoul(digits, NULL, 16);
            i += 2;
        }
        piece->len++;
    }
    piece->value[piece->len] = '\0';
}

static void split_text(struct split *split, const char *text)
{
    char *copy = strdup(text), *path, *query, *piece;

    assert_non_null(copy);
    split->text = text;
    split->n = 0;
    path = strchr(copy, ':');
    path = path == NULL ? copy + strlen(copy) : path + 1;
    query = strchr(path, '?');
    if (query != NULL)
        *query++ = '\0';
    for (path = *path == '\0' ? NULL : path; (piece = strsep(&path, ";"));)
        cut_piece(split, piece, false);
    if (query != NULL && *query == '\0')
        query = NULL;
    while ((piece = strsep(&query, "&")))
        cut_piece(split, piece, true);
    free(copy);
}

static void split_free(struct split *split)
{
    while (split->n > 0) {
        split->n--;
        free(split->pieces[split->n].raw);
        free(split->pieces[split->n].value);
    }
}

static bool is(const struct piece *piece, enum kind kind)
{
    return piece->known != NULL && piece->known->kind == kind;
}

static bool is_text(const struct piece *piece)
{
    return is(piece, TEXT) || is(piece, PATH) || is(piece, PIN_VALUE) ||
           is(piece, PIN_SOURCE);
}

/* The classes that concern the whole text. */

static bool long_text(const struct split *split)
{
    return strlen(split->text) > 8192;
}

static bool foreign_character(const struct split *split)
{
    static const char path[] = "-._~:[]@!$'()*+,=&%;";
    static const char query[] = "-._~:[]@!$'()*+,=/?|%&";
    const char *allowed = path, *c;

    for (c = split->text; *c != '\0'; c++) {
        if (*c == '?' && allowed == path) {
            allowed = query;
            continue;
        }
        if ((unsigned char)*c > 0x7E ||
            (!isalnum((unsigned char)*c) && strchr(allowed, *c) == NULL))
            return true;
    }
    return false;
}

static bool repeated(const struct split *split)
{
    size_t i, j;

    for (i = 0; i < split->n; i++) {
        for (j = 0; j < i; j++) {
            if (split->pieces[i].known != NULL &&
                split->pieces[i].known == split->pieces[j].known)
                return true;
        }
    }
    return false;
}

static bool two_pins(const struct split *split)
{
    size_t i, values = 0, sources = 0;

    for (i = 0; i < split->n; i++) {
        values += is(&split->pieces[i], PIN_VALUE);
        sources += is(&split->pieces[i], PIN_SOURCE);
    }
    return values > 0 && sources > 0;
}

/* The classes that concern one attribute. */

static bool empty_attribute(const struct piece *piece)
{
    return piece->empty;
}

static bool unknown_in_path(const struct piece *piece)
{
    return !piece->empty && !piece->query && piece->known == NULL;
}

static bool unknown_in_query(const struct piece *piece)
{
    return !piece->empty && piece->query && piece->known == NULL;
}

static bool wrong_side(const struct piece *piece)
{
    return piece->known != NULL && piece->known->query != piece->query;
}

static bool nul_in_text(const struct piece *piece)
{
    return is_text(piece) && strlen(piece->value) < piece->len;
}

static bool not_utf8(const struct piece *piece)
{
    char *in = piece->value, out[4 * (P11_URI_MAX + 64)], *to = out;
    size_t in_len = piece->len, out_len = sizeof(out), result;
    iconv_t utf8;

    if (!is_text(piece))
        return false;
    utf8 = iconv_open("UTF-32", "UTF-8");
    assert_true(utf8 != (iconv_t)-1);
    result = iconv(utf8, &in, &in_len, &to, &out_len);
    (void)iconv_close(utf8);
    return result == (size_t)-1;
}

static bool too_long(const struct piece *piece)
{
    return piece->known != NULL && piece->len > piece->known->max;
}

static bool no_type(const struct piece *piece)
{
    static const char types[] = "/public/private/cert/secret-key/data/";
    char type[sizeof(types)];

    (void)snprintf(type, sizeof(type), "/%.30s/", piece->raw);
    return is(piece, TYPE) &&
           (piece->raw[0] == '\0' || strstr(types, type) == NULL);
}

static bool slot_id_empty(const struct piece *piece)
{
    return is(piece, SLOT) && piece->raw[0] == '\0';
}

static bool slot_id_overflows(const struct piece *piece)
{
    errno = 0;
    return is(piece, SLOT) && isdigit((unsigned char)piece->raw[0]) &&
           strtoul(piece->raw, NULL, 10) == ULONG_MAX && errno == ERANGE;
}

static bool version_overflows(const struct piece *piece)
{
    const char *dot = strchr(piece->raw, '.');

    return is(piece, VERSION) &&
           (strtoul(piece->raw, NULL, 10) > 255 ||
            (dot != NULL && strtoul(dot + 1, NULL, 10) > 255));
}

const char *uri_pin_file(const char *source)
{
    if (source[0] == '/')
        return source;
    if (strncasecmp(source, "file:", 5) != 0 || source[5] == '\0')
        return NULL;
    source += 5;
    if (strncmp(source, "//", 2) != 0)
        return source;
    if (strncasecmp(source, "//localhost/", 12) == 0)
        return source + 11;
    return source[2] == '/' ? source + 2 : NULL;
}

static bool pin_source_no_file(const struct piece *piece)
{
    return is(piece, PIN_SOURCE) && uri_pin_file(piece->value) == NULL;
}

static bool pin_in_value(const struct piece *piece)
{
    return piece->known != NULL && !is(piece, PIN_VALUE) &&
           strstr(piece->raw, "pin-value=") != NULL;
}

static bool relative_path(const struct piece *piece)
{
    return is(piece, PATH) && piece->value[0] != '/';
}

/* p11-kit, which does not know the name, looks at no value. */
static bool no_hashes(const struct piece *piece)
{
    size_t i;

    if (!is(piece, HASHES))
        return false;
    for (i = 0; piece->raw[i] != '\0'; i++) {
        if (i % 65 == 64 ? piece->raw[i] != ','
                         : !isxdigit((unsigned char)piece->raw[i]))
            return true;
    }
    return i % 65 != 64;
}

/* All that makes us stricter than p11-kit. */
static const struct {
    const char *name;
    bool (*text)(const struct split *split);
    bool (*piece)(const struct piece *piece);
    bool mended; /* p11-kit 0.26 refuses it too */
} classes[URI_N_CLASSES] = {
    { "URI too long", long_text, NULL, false },
    { "character", foreign_character, NULL, false },
    { "repeated attribute", repeated, NULL, false },
    { "pin-value and pin-source", two_pins, NULL, false },
    { "empty attribute", NULL, empty_attribute, false },
    { "unknown path attribute", NULL, unknown_in_path, false },
    { "unknown query attribute", NULL, unknown_in_query, false },
    { "attribute on the wrong side of ?", NULL, wrong_side, false },
    { "NUL in a text", NULL, nul_in_text, false },
    { "not UTF-8", NULL, not_utf8, false },
    { "value too long", NULL, too_long, false },
    { "no such type", NULL, no_type, false },
    { "slot-id empty", NULL, slot_id_empty, true },
    { "slot-id overflows", NULL, slot_id_overflows, true },
    { "library-version overflows", NULL, version_overflows, false },
    { "pin-source is no file", NULL, pin_source_no_file, false },
    { "pin-value= inside a value", NULL, pin_in_value, false },
    { "relative module-path", NULL, relative_path, false },
    { "spki-sha256 without hashes", NULL, no_hashes, false },
};

const char *uri_class_name(size_t class)
{
    return classes[class].name;
}

bool uri_class_is_mended(size_t class)
{
    return classes[class].mended;
}

uint32_t uri_classify(const char *text)
{
    struct split split;
    uint32_t result = 0;
    size_t i, j;

    split_text(&split, text);
    for (i = 0; i < URI_N_CLASSES; i++) {
        if (classes[i].text != NULL && classes[i].text(&split))
            result |= UINT32_C(1) << i;
        for (j = 0; classes[i].piece != NULL && j < split.n; j++) {
            if (classes[i].piece(&split.pieces[j]))
                result |= UINT32_C(1) << i;
        }
    }
    split_free(&split);
    return result;
}
