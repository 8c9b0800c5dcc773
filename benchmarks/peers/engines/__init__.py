"""OpenVINO and NNCF with every model: speed at one thread and fidelity, beside what we serve."""
