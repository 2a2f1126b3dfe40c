/* SPDX-License-Identifier: Apache-2.0 */
/* The ways in which we are stricter than p11-kit: see uri_classes.c. */
#ifndef HSMSIGN_TEST_URI_CLASSES_H
#define HSMSIGN_TEST_URI_CLASSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define URI_N_CLASSES 19

/* A bit for each class that text, of less than P11_URI_MAX + 64, is in. */
uint32_t uri_classify(const char *text);

const char *uri_class_name(size_t class);

/* Whether newer versions of p11-kit are as strict there. */
bool uri_class_is_mended(size_t class);

/* The path that the value of a pin-source names, or NULL. */
const char *uri_pin_file(const char *source);

#endif
