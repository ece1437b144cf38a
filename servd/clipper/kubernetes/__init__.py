"""The manager that brings a cluster to Kubernetes, where clipper_admin has it. Called by users'
scripts. May import what the managers have in common.
"""
