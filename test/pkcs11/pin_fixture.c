/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../pkcs11/log.h"
#include "pin_fixture.h"

int pin_setup(void **state)
{
    struct pin_fixture *f = calloc(1, sizeof(*f));
    const char *tmp = getenv("TMPDIR");

    if (f == NULL)
        return -1;
    (void)snprintf(f->dir, sizeof(f->dir), "%s/hsmsign-pin-XXXXXX",
                   tmp != NULL ? tmp : "/tmp");
    if (mkdtemp(f->dir) == NULL)
        return -1;
    (void)snprintf(f->path, sizeof(f->path), "%s/pin", f->dir);
    (void)snprintf(f->log, sizeof(f->log), "%s/log", f->dir);
    *state = f;
    return 0;
}

int pin_teardown(void **state)
{
    struct pin_fixture *f = *state;

    p11_log_close();
    (void)unsetenv(VARIABLE);
    p11_pin_source_clear(&f->source);
    (void)unlink(f->path);
    (void)unlink(f->log);
    (void)rmdir(f->dir);
    free(f);
    return 0;
}

void pin_parse(struct pin_fixture *f, const char *kind, const char *name)
{
    char value[400];

    (void)snprintf(value, sizeof(value), "%s%s", kind, name);
    p11_pin_source_clear(&f->source);
    assert_int_equal(p11_pin_source_parse(value, ORIGIN, &f->source, &f->err),
                     CKR_OK);
}

void assert_pin(const struct p11_pin *pin, const void *want, size_t len)
{
    size_t have_len = 0;
    const unsigned char *have;

    assert_non_null(pin);
    have = p11_pin_bytes(pin, &have_len);
    assert_int_equal(have_len, len);
    assert_memory_equal(have, want, len);
}

CK_RV pin_read(struct pin_fixture *f, struct p11_pin **pin,
               struct p11_error *err)
{
    const struct p11_pin_request request = { .config = &f->source };

    return p11_pin_get(&request, "demo", pin, err);
}

void pin_reads(struct pin_fixture *f, const void *want, size_t len)
{
    struct p11_pin *pin = NULL;

    if (pin_read(f, &pin, &f->err) != CKR_OK)
        fail_msg("%s", f->err.text);
    assert_pin(pin, want, len);
    p11_pin_free(pin);
}

void pin_read_fails(struct pin_fixture *f, CK_RV rv, const char *const *words,
                    size_t n)
{
    struct p11_pin *pin = NULL;

    memset(&f->err, 0, sizeof(f->err));
    assert_int_equal(pin_read(f, &pin, &f->err), rv);
    assert_int_equal(f->err.rv, rv);
    assert_null(pin);
    for (size_t i = 0; i < n; i++) {
        if (strstr(f->err.text, words[i]) == NULL)
            fail_msg("\"%s\" lacks \"%s\"", f->err.text, words[i]);
    }
    assert_int_equal(pin_read(f, &pin, NULL), rv);
}
