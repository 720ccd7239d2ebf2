"""The hardware: what Nova, Cinder and Neutron drive."""
