/* Secret documents in flat JSON. */

#include "tests/fuzz/document.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        document_fuzz(&dialect_json, data, size, true);
        return 0;
}
