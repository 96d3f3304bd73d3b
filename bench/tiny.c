/* tiny: the smallest program that ends well; static, so that starting it costs next to nothing. */

int main(void) {
        return 0;
}
