/* SPDX-License-Identifier: Apache-2.0 */
#include <stdatomic.h>
#include <string.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include "metrics.h"

#define ACTIONS (ACTION_UNKNOWN + 1)

/* The answers that are told apart. */
static const int statuses[] = { 200, 400, 401, 403, 404, 405,
                                413, 415, 429, 500, 503 };
#define STATUSES (sizeof(statuses) / sizeof(statuses[0]))

/* Milliseconds: the upper bounds of the histogram, of what was signed. */
static const unsigned bounds[] = { 1,   2,   5,   10,   20,   50,
                                   100, 200, 500, 1000, 2000, 5000 };
#define BOUNDS (sizeof(bounds) / sizeof(bounds[0]))

static atomic_ullong requests[ACTIONS][STATUSES + 1]; /* the last: any other */
static atomic_ullong buckets[BOUNDS + 1], sum_ms;

void metrics_request(enum action action, int status, uint64_t ms)
{
    size_t i = 0, b = 0;

    while (i < STATUSES && statuses[i] != status)
        i++;
    atomic_fetch_add(&requests[action][i], 1);
    if (status != 200 || action == ACTION_CERTIFICATES ||
        action == ACTION_UNKNOWN)
        return;
    while (b < BOUNDS && ms > bounds[b])
        b++;
    atomic_fetch_add(&buckets[b], 1);
    atomic_fetch_add(&sum_ms, ms);
}

static void write_requests(BIO *out)
{
    BIO_puts(out, "# HELP hsmsignd_requests_total Requests by action and "
                  "status.\n# TYPE hsmsignd_requests_total counter\n");
    for (size_t a = 0; a < ACTIONS; a++) {
        const char *name = request_action_name((enum action)a);

        for (size_t i = 0; i <= STATUSES; i++) {
            unsigned long long n = atomic_load(&requests[a][i]);

            if (n > 0)
                BIO_printf(out,
                           "hsmsignd_requests_total{action=\"%s\",status="
                           "\"%d\"} %llu\n",
                           *name != '\0' ? name : "none",
                           i < STATUSES ? statuses[i] : 0, n);
        }
    }
}

static void write_histogram(BIO *out)
{
    unsigned long long n = 0, ms = atomic_load(&sum_ms);

    BIO_puts(
        out,
        "# HELP hsmsignd_signature_seconds Time from the head of a request "
        "to its signature.\n"
        "# TYPE hsmsignd_signature_seconds histogram\n");
    for (size_t b = 0; b <= BOUNDS; b++) {
        n += atomic_load(&buckets[b]);
        if (b < BOUNDS)
            BIO_printf(out,
                       "hsmsignd_signature_seconds_bucket{le=\"%u.%03u\"} "
                       "%llu\n",
                       bounds[b] / 1000, bounds[b] % 1000, n);
        else
            BIO_printf(out,
                       "hsmsignd_signature_seconds_bucket{le=\"+Inf\"} %llu\n",
                       n);
    }
    BIO_printf(out,
               "hsmsignd_signature_seconds_sum %llu.%03llu\n"
               "hsmsignd_signature_seconds_count %llu\n",
               ms / 1000, ms % 1000, n);
}

static int find_provider(OSSL_PROVIDER *provider, void *arg)
{
    OSSL_PROVIDER **found = arg;

    if (strcmp(OSSL_PROVIDER_get0_name(provider), "hsmsign") == 0)
        *found = provider;
    return 1;
}

/* What only the provider knows; nothing where another one serves. */
static void write_provider(BIO *out)
{
    static const struct {
        const char *param, *name, *label, *type, *help;
    } rows[] = {
        { "hsmsign-sessions", "sessions", "", "gauge",
          "Sessions that are open with the token." },
        { "hsmsign-sessions-lent", "sessions_in_use", "", "gauge",
          "Of these, those in use." },
        { "hsmsign-retries", "retries_total", "", "counter",
          "Times that work was tried again after a pause." },
        { "hsmsign-errors-session", "hsm_errors_total", "session", "counter",
          "Calls to the token that failed, by class." },
        { "hsmsign-errors-busy", "hsm_errors_total", "busy", NULL, NULL },
        { "hsmsign-errors-device", "hsm_errors_total", "device", NULL, NULL },
        { "hsmsign-errors-pin", "hsm_errors_total", "pin", NULL, NULL },
        { "hsmsign-errors-other", "hsm_errors_total", "other", NULL, NULL },
    };
    OSSL_PROVIDER *provider = NULL;

    (void)OSSL_PROVIDER_do_all(NULL, find_provider, &provider);
    for (size_t i = 0; provider != NULL && i < sizeof(rows) / sizeof(rows[0]);
         i++) {
        uint64_t value = 0;
        OSSL_PARAM params[] = { OSSL_PARAM_uint64(rows[i].param, &value),
                                OSSL_PARAM_END };

        if (!OSSL_PROVIDER_get_params(provider, params) ||
            !OSSL_PARAM_modified(params))
            continue;
        if (rows[i].help != NULL)
            BIO_printf(out, "# HELP hsmsignd_%s %s\n# TYPE hsmsignd_%s %s\n",
                       rows[i].name, rows[i].help, rows[i].name, rows[i].type);
        if (rows[i].label[0] != '\0')
            BIO_printf(out, "hsmsignd_%s{class=\"%s\"} %llu\n", rows[i].name,
                       rows[i].label, (unsigned long long)value);
        else
            BIO_printf(out, "hsmsignd_%s %llu\n", rows[i].name,
                       (unsigned long long)value);
    }
}

bool metrics_write(BIO *out, const struct metrics_now *now)
{
    write_requests(out);
    write_histogram(out);
    write_provider(out);
    if (now->expires != INT64_MAX)
        BIO_printf(
            out,
            "# HELP hsmsignd_certificate_expires_seconds Until the first "
            "certificate expires.\n"
            "# TYPE hsmsignd_certificate_expires_seconds gauge\n"
            "hsmsignd_certificate_expires_seconds %lld\n",
            (long long)now->expires);
    return BIO_printf(
               out,
               "# HELP hsmsignd_requests_in_progress Requests without an "
               "answer "
               "as yet.\n# TYPE hsmsignd_requests_in_progress gauge\n"
               "hsmsignd_requests_in_progress %llu\n"
               "# HELP hsmsignd_hsm_up Whether the HSM signed when it was last "
               "asked.\n# TYPE hsmsignd_hsm_up gauge\nhsmsignd_hsm_up %d\n"
               "# HELP hsmsignd_generation Times that key, certificate and "
               "users "
               "were loaded.\n# TYPE hsmsignd_generation counter\n"
               "hsmsignd_generation %llu\n",
               (unsigned long long)now->requests, now->up,
               (unsigned long long)now->generation) > 0;
}
