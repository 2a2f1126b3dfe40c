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

#include "log_fixture.h"

int log_setup(void **state)
{
    struct log_fixture *f = calloc(1, sizeof(*f));
    const char *tmp = getenv("TMPDIR");

    if (f == NULL)
        return -1;
    (void)snprintf(f->dir, sizeof(f->dir), "%s/hsmsign-log-XXXXXX",
                   tmp != NULL ? tmp : "/tmp");
    if (mkdtemp(f->dir) == NULL)
        return -1;
    (void)snprintf(f->path, sizeof(f->path), "%s/log", f->dir);
    (void)snprintf(f->spec, sizeof(f->spec), "file:%s,debug", f->path);
    *state = f;
    return 0;
}

int log_teardown(void **state)
{
    struct log_fixture *f = *state;

    p11_log_close();
    (void)unlink(f->path);
    (void)rmdir(f->dir);
    free(f->content);
    free(f);
    return 0;
}

void open_log(const char *spec)
{
    struct p11_error err = { .text = "" };

    if (p11_log_open(spec, &err) != CKR_OK)
        fail_msg("%s", err.text);
}

void read_log(struct log_fixture *f)
{
    FILE *file = fopen(f->path, "r");
    size_t size = 4U << 20, len;

    assert_non_null(file);
    free(f->content);
    f->n_lines = 0;
    f->content = malloc(size);
    assert_non_null(f->content);
    len = fread(f->content, 1, size - 1, file);
    (void)fclose(file);
    f->content[len] = '\0';
    for (char *at = f->content; *at != '\0';) {
        char *end = strchr(at, '\n');

        assert_non_null(end);
        assert_true(f->n_lines < LINES_MAX);
        *end = '\0';
        f->lines[f->n_lines++] = at;
        at = end + 1;
    }
}
