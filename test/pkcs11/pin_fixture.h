/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of pkcs11/pin share: a directory for the PIN file, and
 * assertions on what a source gives.  Include after <cmocka.h>.
 */
#ifndef HSMSIGN_TEST_PIN_FIXTURE_H
#define HSMSIGN_TEST_PIN_FIXTURE_H

#include "../../pkcs11/pin.h"

#define COUNT(array)  (sizeof(array) / sizeof((array)[0]))
#define BYTES(string) (string), sizeof(string) - 1
#define ORIGIN        "pkcs11-module-token-pin"
#define VARIABLE      "HSMSIGN_TEST_PIN"

/* One test's directory, and the PIN file and log in it. */
struct pin_fixture {
    char dir[256];
    char path[320];
    char log[320];
    struct p11_pin_source source; /* cleared by teardown */
    struct p11_error err;
};

/* cmocka's; teardown closes the log and unsets VARIABLE too. */
int pin_setup(void **state);
int pin_teardown(void **state);

/* Parse KIND followed by NAME as an option's value. */
void pin_parse(struct pin_fixture *f, const char *kind, const char *name);

void assert_pin(const struct p11_pin *pin, const void *want, size_t len);

/* p11_pin_get() with that source in the configuration, and no other. */
CK_RV pin_read(struct pin_fixture *f, struct p11_pin **pin,
               struct p11_error *err);

/* The source gives these bytes. */
void pin_reads(struct pin_fixture *f, const void *want, size_t len);

/* Reading fails with rv, and the text has each of the n words. */
void pin_read_fails(struct pin_fixture *f, CK_RV rv, const char *const *words,
                    size_t n);

#endif
