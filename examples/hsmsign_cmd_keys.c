/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hsmsign keys: what is on the tokens that signs, and the URI that names it.
 *
 * A PIN has few tries, so that it goes to one token only: with several, what
 * they show without a login is listed, and a note says so of each.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <openssl/crypto.h>
#include "hsmsign_token.h"
#include "hsmsign_tool.h"
#include "pkcs11/calls.h"

static const struct cli_command command = {
    .name = "keys",
    .usage = "keys [URI]",
    .about =
        "List the private keys, public keys and certificates that a pkcs11: "
        "URI names,\nor all: token, type, key, label, id and URI; for a "
        "program one line each,\nseparated by tabs, \"-\" for what there is "
        "not.",
    .operand = "URI",
    .operand_optional = true,
};

static const CK_OBJECT_CLASS classes[] = { CKO_PRIVATE_KEY, CKO_PUBLIC_KEY,
                                           CKO_CERTIFICATE };

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

enum { TOKEN, TYPE, KEY, LABEL, ID, URI, COLUMNS };

struct line {
    char *cell[COLUMNS]; /* owned */
};

struct listing {
    struct line *lines; /* owned */
    size_t count;
};

static void listing_free(struct listing *listing)
{
    for (size_t i = 0; i < listing->count; i++) {
        for (size_t column = 0; column < COLUMNS; column++)
            OPENSSL_free(listing->lines[i].cell[column]);
    }
    free(listing->lines);
}

/* Fit for a terminal and for whoever splits at tabs. */
static char *text_cell(const char *bytes, size_t len)
{
    char *cell = len > 0 ? OPENSSL_strndup(bytes, len) : OPENSSL_strdup("-");

    for (char *p = cell; p != NULL && *p != '\0'; p++) {
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = '?';
    }
    return cell;
}

static char *hex_cell(const struct p11_uri_value *value)
{
    char *cell = OPENSSL_zalloc(2 * value->len + 2);

    if (cell != NULL && !value->present)
        cell[0] = '-';
    for (size_t i = 0; cell != NULL && i < value->len; i++)
        (void)snprintf(cell + 2 * i, 3, "%02x", (unsigned char)value->bytes[i]);
    return cell;
}

/* NULL is a URI that names something else as well. */
static bool fill_line(struct line *line, const struct token *t,
                      const struct object *object, const char *uri)
{
    const char *type = object_type(object->class);
    bool complete = true;

    line->cell[TOKEN] = text_cell(t->slot->label, strlen(t->slot->label));
    line->cell[TYPE] = text_cell(type, strlen(type));
    line->cell[KEY] = text_cell(object->kind, strlen(object->kind));
    line->cell[LABEL] = text_cell(object->label.bytes, object->label.len);
    line->cell[ID] = hex_cell(&object->id);
    line->cell[URI] = OPENSSL_strdup(uri != NULL ? uri : "-");
    for (size_t i = 0; i < COLUMNS; i++)
        complete = complete && line->cell[i] != NULL;
    return complete;
}

static int by_label(const void *a, const void *b)
{
    const struct object *x = a, *y = b;
    size_t len = x->label.len < y->label.len ? x->label.len : y->label.len;
    int order = len > 0 ? memcmp(x->label.bytes, y->label.bytes, len) : 0;

    if (order == 0)
        order = (x->label.len > y->label.len) - (x->label.len < y->label.len);
    if (order != 0)
        return order;
    len = x->id.len < y->id.len ? x->id.len : y->id.len;
    order = len > 0 ? memcmp(x->id.bytes, y->id.bytes, len) : 0;
    return order != 0 ? order
                      : (x->id.len > y->id.len) - (x->id.len < y->id.len);
}

static bool is_alone(const struct objects *objects, size_t i)
{
    for (size_t j = 0; j < objects->count; j++) {
        if (j != i && object_shares_name(&objects->list[i], &objects->list[j]))
            return false;
    }
    return true;
}

static int add_lines(struct listing *listing, const struct token *t,
                     const struct objects *objects)
{
    struct line *grown =
        realloc(listing->lines, (listing->count + objects->count + 1) *
                                    sizeof(*listing->lines));

    if (grown == NULL)
        return cli_fail("no memory for the list");
    listing->lines = grown;
    for (size_t i = 0; i < objects->count; i++) {
        const struct object *object = &objects->list[i];
        bool named = object->uri != NULL && is_alone(objects, i);

        if (!named)
            cli_warn("%s: no URI names this %s alone (label \"%.*s\"); "
                     "give it a label or id of its own",
                     t->slot->where, object_class_name(object->class),
                     (int)object->label.len,
                     object->label.present ? object->label.bytes : "");
        if (!fill_line(&listing->lines[listing->count++], t, object,
                       named ? object->uri : NULL))
            return cli_fail("no memory for the list");
    }
    return CLI_OK;
}

static bool is_type_asked_for(const struct token *t, CK_OBJECT_CLASS class)
{
    return !t->uri->type.present ||
           strcmp(t->uri->type.bytes, object_type(class)) == 0;
}

/* In the order of classes[], and there by label and id. */
static int list_token(struct token *t, struct listing *listing)
{
    int status = CLI_OK;

    for (size_t i = 0; i < COUNT(classes) && status == CLI_OK; i++) {
        struct objects found = { 0 };

        if (!is_type_asked_for(t, classes[i]))
            continue;
        status =
            objects_find(t, classes[i], &t->uri->object, &t->uri->id, &found);
        if (status == CLI_OK) {
            if (found.count > 0)
                qsort(found.list, found.count, sizeof(*found.list), by_label);
            status = add_lines(listing, t, &found);
        }
        objects_free(&found);
    }
    return status;
}

static bool is_asked_for(const struct token *t, const struct p11_slot *slot)
{
    CK_SLOT_INFO info = { 0 };

    return slot->present &&
           p11_uri_matches_token(t->uri, slot->id, &slot->token) &&
           (!p11_uri_wants_slot_info(t->uri) ||
            (P11_CALL(t->module->fl, C_GetSlotInfo, slot->id, &info) ==
                 CKR_OK &&
             p11_uri_matches_slot(t->uri, &info)));
}

/* The next one by slot id, so that the order does not change. */
static struct p11_slot *next_slot(const struct token *t,
                                  const struct p11_slot *last)
{
    struct p11_slot *next = NULL;

    for (struct p11_slot *s = t->module->slots; s != NULL; s = s->next) {
        if ((last == NULL || s->id > last->id) && is_asked_for(t, s) &&
            (next == NULL || s->id < next->id))
            next = s;
    }
    return next;
}

static int list_all(struct token *t, struct listing *listing)
{
    struct p11_slot *slot = NULL;
    struct p11_error err = { 0 };
    CK_RV rv = p11_slot_find(t->module, t->uri, &slot, &err);
    int status = CLI_OK;

    if (rv != CKR_OK && rv != P11_MANY_TOKENS)
        return token_fail(&err);
    slot = NULL;
    while (status == CLI_OK && (slot = next_slot(t, slot)) != NULL) {
        status =
            token_enter(t, slot, rv == CKR_OK ? TOKEN_PIN_ANY : TOKEN_PIN_NONE);
        if (status == CLI_OK)
            status = list_token(t, listing);
        if (status == CLI_OK && rv == P11_MANY_TOKENS &&
            (slot->token.flags & CKF_LOGIN_REQUIRED) != 0)
            cli_warn("%s: what it shows without a login; for the rest "
                     "name this token in the URI",
                     slot->where);
        token_leave(t);
    }
    return status;
}

/* Characters, not bytes: labels are UTF-8. */
static size_t width(const char *text)
{
    size_t n = 0;

    for (; *text != '\0'; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static void print_columns(const struct listing *listing)
{
    static const char *const heading[] = { "TOKEN", "TYPE", "KEY",
                                           "LABEL", "ID",   "URI" };
    size_t widest[COLUMNS];

    for (size_t c = 0; c < COLUMNS; c++) {
        widest[c] = width(heading[c]);
        for (size_t i = 0; i < listing->count; i++) {
            size_t w = width(listing->lines[i].cell[c]);

            widest[c] = w > widest[c] ? w : widest[c];
        }
    }
    for (size_t i = 0; i <= listing->count; i++) {
        for (size_t c = 0; c < COLUMNS; c++) {
            const char *cell =
                i == 0 ? heading[c] : listing->lines[i - 1].cell[c];

            if (c == COLUMNS - 1)
                (void)printf("%s\n", cell);
            else
                (void)printf("%s%*s", cell, (int)(widest[c] - width(cell)) + 2,
                             "");
        }
    }
}

static void print_lines(const struct listing *listing)
{
    for (size_t i = 0; i < listing->count; i++) {
        for (size_t c = 0; c < COLUMNS; c++)
            (void)printf("%s%c", listing->lines[i].cell[c],
                         c == COLUMNS - 1 ? '\n' : '\t');
    }
}

static int check_type(const struct token *t)
{
    for (size_t i = 0; i < COUNT(classes); i++) {
        if (is_type_asked_for(t, classes[i]))
            return CLI_OK;
    }
    return cli_usage("keys", "type= is private, public or cert");
}

int cmd_keys(int argc, char **argv)
{
    struct listing listing = { 0 };
    struct cli_values values;
    const char *uri;
    struct token t;
    int status;

    if (!cli_parse(&command, argc, argv, &values, &status))
        return status;
    uri = values.operand != NULL ? values.operand : "pkcs11:";
    status = token_open(&t, uri);
    if (status == CLI_OK)
        status = check_type(&t);
    if (status == CLI_OK)
        status = list_all(&t, &listing);
    if (status == CLI_OK && listing.count == 0 &&
        (t.uri->object.present || t.uri->id.present))
        status = cli_fail("no private key, public key or certificate matches "
                          "%s",
                          uri);
    if (status == CLI_OK && isatty(STDOUT_FILENO))
        print_columns(&listing);
    else if (status == CLI_OK)
        print_lines(&listing);
    listing_free(&listing);
    token_close(&t);
    return status;
}
