// Written by checks/fused_tanh.py.
constexpr float LARGEST = 8.5f;
constexpr float P[] = {1.426914409e-08f}, P_REST[] = {2.125098399e-05f, 3.534023184e-03f, 1.341324449e-01f, 1.000000000e+00f};
constexpr float Q[] = {8.145088941e-07f}, Q_REST[] = {3.348858736e-04f, 2.602273785e-02f, 4.674656689e-01f, 1.000000000e+00f};
