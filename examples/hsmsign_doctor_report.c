/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hsmsign doctor --report: what an owner of a cluster can send to whoever has
 * none.  No PIN, no name of a key, token, file or user, no serial number.
 */
#include "hsmsign_doctor.h"
#include "hsmsign_tool.h"

#ifdef HSMSIGN_JANSSON
#include <jansson.h>
#include <openssl/err.h>
#include <sys/stat.h>
#include "pkcs11/log.h"

static const char *const verdicts[] = {
    [DOCTOR_NOT_PROBED] = "not probed",
    [DOCTOR_CONFIRMED] = "confirmed",
    [DOCTOR_REFUTED] = "refuted",
    [DOCTOR_MEASURED] = "measured",
};

bool doctor_report_is_offered(void)
{
    return true;
}

/* PKCS #11 pads with spaces; what is not printable would be no UTF-8. */
static json_t *text(const CK_UTF8CHAR *padded, size_t len)
{
    char clean[64];
    size_t n = 0;

    for (; n < len && n < sizeof(clean) && padded[n] != '\0'; n++) {
        clean[n] = (char)padded[n];
        if (padded[n] < ' ' || padded[n] > '~')
            clean[n] = '?';
    }
    while (n > 0 && clean[n - 1] == ' ')
        n--;
    return json_stringn(clean, n);
}
#define TEXT(field) text(field, sizeof(field))

static json_t *hex(unsigned long value)
{
    return json_sprintf("0x%lx", value);
}

static json_t *version(CK_VERSION v)
{
    return json_sprintf("%d.%d", v.major, v.minor);
}

static json_t *mechanisms(const struct doctor_facts *facts)
{
    json_t *array = json_array();

    for (size_t i = 0; i < facts->n_mechanisms; i++)
        (void)json_array_append_new(array, hex(facts->mechanisms[i]));
    return array;
}

static json_t *rows(const struct doctor_facts *facts)
{
    json_t *array = json_array();

    for (size_t i = 0; i < facts->n_answers; i++) {
        const struct doctor_answer *a = &facts->answers[i];
        bool probed = a->verdict != DOCTOR_NOT_PROBED;

        (void)json_array_append_new(
            array, json_pack("{s:s, s:s, s:s, s:s}", "name", a->name, "assumed",
                             a->assumed, "verdict", verdicts[a->verdict],
                             probed ? "observed" : "reason",
                             probed ? a->observed : a->reason));
    }
    return array;
}

static json_t *signing(const struct doctor *d)
{
    const struct doctor_facts *facts = &d->facts;

    if (facts->signatures == 0)
        return json_null();
    return json_pack("{s:s, s:i, s:i, s:f, s:f, s:f, s:f}", "key",
                     EVP_PKEY_get0_type_name(d->key), "bits",
                     EVP_PKEY_get_bits(d->key), "signatures", facts->signatures,
                     "p50_ms", facts->p50_ms, "p99_ms", facts->p99_ms, "calls",
                     facts->calls, "round_trips", facts->trips);
}

/* json_pack() is NULL if any part of it is. */
static json_t *everything(const struct doctor *d)
{
    const CK_INFO *info = &d->facts.info;
    const CK_TOKEN_INFO *token = &d->facts.token;
    char now[P11_LOG_TIME];

    p11_log_time(now);
    return json_pack("{s:i, s:s, s:s, s:{s:o, s:o, s:o, s:o},"
                     " s:{s:o, s:o, s:o, s:o, s:o}, s:i, s:o, s:o, s:o}",
                     "format", 1, "hsmsign", HSMSIGN_VERSION, "time", now,
                     "module", "cryptoki", version(info->cryptokiVersion),
                     "manufacturer", TEXT(info->manufacturerID), "description",
                     TEXT(info->libraryDescription), "version",
                     version(info->libraryVersion), "token", "manufacturer",
                     TEXT(token->manufacturerID), "model", TEXT(token->model),
                     "hardware", version(token->hardwareVersion), "firmware",
                     version(token->firmwareVersion), "flags",
                     hex(token->flags), "slots", (int)d->facts.slots,
                     "mechanisms", mechanisms(&d->facts), "signing", signing(d),
                     "rows", rows(&d->facts));
}

static int write_json(const struct doctor *d, const char *json)
{
    struct output out;
    BIO *mem = BIO_new_mem_buf(json, -1);
    /* It is the administrator's to send.  There is one thread. */
    mode_t before = umask(S_IRWXG | S_IRWXO);
    int ok = mem != NULL && output_open(&out, d->report_file);

    (void)umask(before);
    ok = ok && output_commit(&out, mem, true);
    BIO_free(mem);
    return ok;
}

int doctor_report_write(const struct doctor *d)
{
    json_t *root = everything(d);
    char *json = root != NULL ? json_dumps(root, JSON_INDENT(2)) : NULL;
    int ok = 0;

    if (json != NULL)
        ok = write_json(d, json);
    else
        ERR_raise(ERR_LIB_USER, ERR_R_MALLOC_FAILURE);
    free(json);
    json_decref(root);
    return ok;
}

#else

bool doctor_report_is_offered(void)
{
    return false;
}

int doctor_report_write(const struct doctor *d)
{
    (void)d;
    return 0;
}

#endif
