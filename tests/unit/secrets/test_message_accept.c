/* The loader's message, as its parent takes it when the loader is hostile: nothing but what it may say is
 * believed, and no descriptor is left behind. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/fd.h"
#include "secrets/message.h"
#include "secrets/seal.h"

static const char strings[] = "A=1\0B=2";
static int ends[2];
static struct load_message message, received;
static struct load_result result;
static struct error error;
static int sent[MESSAGE_DESCRIPTORS], got[MESSAGE_DESCRIPTORS];
static int lowest;

static int next_descriptor(void) {
        int fd = dup(0);

        close(fd);
        return fd;
}

static struct load_item item_make(const char *name) {
        struct load_item item = {.value_bytes = 1, .line = 1, .fingerprint = "01234567"};

        memcpy(item.name, name, strlen(name));
        return item;
}

/* A message that would be accepted. */
static int setup(void **state) {
        struct load_item items[] = {item_make("A"), item_make("B")};
        struct seal seal;

        (void)state;
        lowest = next_descriptor();
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
        memset(&result, 0, sizeof result);
        bundle_init(&result.bundle);
        result.captured_environment = -1;
        assert_int_equal(seal_make((struct bytes){(const uint8_t *)strings, sizeof strings}, NULL,
                                 SEAL_SECRET_IF_THERE, &seal, &error),
                0);
        sent[MESSAGE_BUNDLE] = seal.fd;
        sent[MESSAGE_INVENTORY] = seal_plain("items", (struct bytes){(uint8_t *)items, sizeof items}, &error);
        sent[MESSAGE_CAPTURE] = -1;
        message = (struct load_message){.size = sizeof message,
                .is_encrypted = seal.is_encrypted,
                .has_inventory = 1,
                .count = 2,
                .bytes = sizeof strings};
        memcpy(message.key, seal.key, sizeof message.key);
        return 0;
}

static int teardown(void **state) {
        (void)state;
        for (int i = 0; i < MESSAGE_DESCRIPTORS; i++)
                fd_close(sent[i]);
        fd_close(ends[0]);
        fd_close(ends[1]);
        return next_descriptor() == lowest ? 0 : -1;
}

/* Send it, receive it, accept it: as load_finish() does. */
static int exchange(void) {
        int answer;

        assert_int_equal(message_send(ends[1], &message, sent), 0);
        answer = message_receive(ends[0], &received, got, &error);
        if (answer == 0 && !received.is_error)
                answer = message_accept(&received, got, &result, &error);
        for (int i = 0; answer == 0 && i < MESSAGE_DESCRIPTORS; i++)
                fd_close(fd_take(&got[i]));
        if (answer < 0)
                for (int i = 0; i < MESSAGE_DESCRIPTORS; i++)
                        fd_close(got[i]);
        return answer;
}

static void refused(const char *text) {
        assert_int_equal(exchange(), -1);
        if (!strstr(error.text, text))
                fail_msg("'%s' does not say '%s'", error.text, text);
        load_result_deinit(&result);
}

static void test_an_honest_message_is_taken(void **state) {
        struct bundle_view view;

        (void)state;
        if (exchange() < 0)
                fail_msg("%s", error.text);
        assert_int_equal(result.item_count, 2);
        assert_string_equal(result.items[1].name, "B");
        assert_int_equal(bundle_map(&result.bundle, &view, &error), 0);
        assert_memory_equal(view.strings, strings, sizeof strings);
        munmap(view.strings, view.bytes);
        load_result_deinit(&result);
}

static void test_warnings_and_notes_end_and_move_no_cursor(void **state) {
        (void)state;
        memset(message.warning, 'w', sizeof message.warning);
        memset(message.note, 'n', sizeof message.note);
        message.warning[0] = message.note[0] = '\033';
        assert_int_equal(exchange(), 0);
        assert_int_equal(strlen(result.warning), sizeof result.warning - 1);
        assert_int_equal(strlen(result.note), sizeof result.note - 1);
        assert_memory_equal(result.warning, "?w", 2);
        assert_memory_equal(result.note, "?n", 2);
        load_result_deinit(&result);
}

static void test_errors_travel_tamed(void **state) {
        (void)state;
        message.is_error = 1;
        memset(message.error.text, 'x', sizeof message.error.text);
        memcpy(message.error.text, "\033[2J\n", 5);
        message.error.status = 100000;
        for (int i = 0; i < MESSAGE_DESCRIPTORS; i++)
                fd_close(fd_take(&sent[i]));
        assert_int_equal(exchange(), 0);
        assert_int_equal(strlen(received.error.text), sizeof received.error.text - 1);
        assert_memory_equal(received.error.text, "?[2J?x", 6);
        assert_int_equal(received.error.status, 0);
}

static void test_wrong_frames_are_refused(void **state) {
        (void)state;
        message.size--;
        refused("no message");
        message.size++;
        message.has_inventory = 2;
        refused("no message");
        message.has_inventory = 0;
        refused("no message");
        message.has_inventory = 1;
        message.has_capture = 1;
        refused("no message");
        message.has_capture = 0;
        message.is_error = 1;
        refused("no message");
        assert_int_equal(send(ends[1], &message, sizeof message - 1, 0), sizeof message - 1);
        assert_int_equal(message_receive(ends[0], &received, got, &error), -1);
        close(ends[1]);
        ends[1] = -1;
        assert_int_equal(message_receive(ends[0], &received, got, &error), -1);
        assert_string_equal(error.text, "the loader ended without an answer");
}

static void test_more_descriptors_than_there_can_be_are_closed(void **state) {
        union {
                struct cmsghdr head;
                char bytes[CMSG_SPACE(8 * sizeof(int))];
        } control = {0};
        struct iovec part = {&message, sizeof message};
        struct msghdr packet = {
                .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
        int many[8] = {0, 0, 0, 0, 0, 0, 0, 0}, before = next_descriptor();

        (void)state;
        control.head = (struct cmsghdr){
                .cmsg_len = CMSG_LEN(sizeof many), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.head), many, sizeof many);
        assert_int_equal(sendmsg(ends[1], &packet, 0), sizeof message);
        assert_int_equal(message_receive(ends[0], &received, got, &error), -1);
        assert_int_equal(next_descriptor(), before);
}

static void test_counts_and_sizes_must_fit_what_is_sealed(void **state) {
        (void)state;
        message.bytes++;
        refused("does not fit");
        message.bytes--;
        message.is_encrypted ^= 1;
        refused("does not fit");
        message.is_encrypted ^= 1;
        message.count = 0;
        refused("does not fit");
        message.count = SECRETS_MAX + 1;
        refused("does not fit");
        message.count = 3;
        refused("inventory is not sealed or has the wrong size");
}

static void test_a_generation_must_be_sealed_memory(void **state) {
        (void)state;
        close(sent[MESSAGE_BUNDLE]);
        sent[MESSAGE_BUNDLE] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        refused("not a sealed generation");
        close(sent[MESSAGE_BUNDLE]);
        sent[MESSAGE_BUNDLE] = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        for (int i = 0; i < 8; i++)
                assert_int_equal(write(sent[MESSAGE_BUNDLE], strings, sizeof strings), sizeof strings);
        message.is_encrypted = 1;
        message.bytes = 8 * sizeof strings - SEAL_EXTRA_BYTES;
        refused("not a sealed generation");
        close(sent[MESSAGE_INVENTORY]);
        sent[MESSAGE_INVENTORY] = fd_take(&sent[MESSAGE_BUNDLE]);
        sent[MESSAGE_BUNDLE] = ends[0];
        refused("not a sealed generation");
        sent[MESSAGE_BUNDLE] = -1;
}

static void inventory_replace(const struct load_item *items, size_t count) {
        close(sent[MESSAGE_INVENTORY]);
        sent[MESSAGE_INVENTORY] =
                seal_plain("items", (struct bytes){(const uint8_t *)items, count * sizeof *items}, &error);
}

static void test_an_inventory_must_be_sound(void **state) {
        struct load_item items[2] = {item_make("A"), item_make("B")};

        (void)state;
        items[1].name[0] = '\n';
        inventory_replace(items, 2);
        refused("malformed");
        items[1] = item_make("B");
        memset(items[1].name, 'x', sizeof items[1].name);
        inventory_replace(items, 2);
        refused("malformed");
        items[1] = item_make("B");
        items[1].fingerprint[3] = '\033';
        inventory_replace(items, 2);
        refused("malformed");
        items[1] = item_make("B");
        items[1].fingerprint[8] = 'a';
        inventory_replace(items, 2);
        refused("malformed");
        items[1] = item_make("B");
        items[1].source = LOAD_SOURCES_MAX;
        inventory_replace(items, 2);
        refused("malformed");
        items[1] = item_make("B");
        inventory_replace(items, 1);
        refused("wrong size");
        close(sent[MESSAGE_INVENTORY]);
        sent[MESSAGE_INVENTORY] = memfd_create("items", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        assert_int_equal(write(sent[MESSAGE_INVENTORY], items, sizeof items), sizeof items);
        refused("not sealed");
}

static void test_a_generation_is_counted_again_when_it_is_mapped(void **state) {
        static const char *const bad[] = {"A=1\0B2", "A=1\0=2", "A=1B=2"};
        struct bundle_view view;
        struct seal seal;

        (void)state;
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
                struct bundle bundle;
                size_t length = i == 2 ? 7 : strlen(bad[i]) + 1 + strlen(bad[i] + strlen(bad[i]) + 1) + 1;

                assert_int_equal(seal_make((struct bytes){(const uint8_t *)bad[i], length}, NULL,
                                         SEAL_SECRET_IF_THERE, &seal, &error),
                        0);
                bundle = (struct bundle){.fd = seal.fd,
                        .is_encrypted = seal.is_encrypted,
                        .key = seal.key,
                        .count = 2,
                        .bytes = length};
                assert_int_equal(bundle_map(&bundle, &view, &error), -1);
                assert_string_equal(error.text, "the sealed generation is not what the loader said");
                bundle.key = NULL;
                bundle_deinit(&bundle);
        }
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                CASE(test_an_honest_message_is_taken),
                CASE(test_warnings_and_notes_end_and_move_no_cursor),
                CASE(test_errors_travel_tamed),
                CASE(test_wrong_frames_are_refused),
                CASE(test_more_descriptors_than_there_can_be_are_closed),
                CASE(test_counts_and_sizes_must_fit_what_is_sealed),
                CASE(test_a_generation_must_be_sealed_memory),
                CASE(test_an_inventory_must_be_sound),
                CASE(test_a_generation_is_counted_again_when_it_is_mapped),
        };

        return cmocka_run_group_tests_name("message_accept", tests, NULL, NULL);
}
