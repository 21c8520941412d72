// What a project does that has lowkey installed: writes a little, and catches what goes wrong.
#include <lowkey/lowkey.h>

#include <iostream>

int main() {
    try {
        lowkey::Model::load("no-such-model");
        return 1;
    } catch (const lowkey::FileError& error) {
        std::cout << "as it should be: " << error.what() << '\n';
    }
    try {
        const lowkey::Model model = lowkey::Model::load("small", {.max_context = 256});
        std::cout << "lowkey " << lowkey::version() << ", the model is in "
                  << model.info().directory << '\n';
        lowkey::Session session(model);
        const lowkey::Generation written = session.generate("Once", {.max_new_tokens = 4});
        std::cout << written.text << '\n';
        return written.ids.empty() ? 1 : 0;
    } catch (const lowkey::Error& error) {
        std::cerr << error.what() << '\n';
        return 1;
    }
}
