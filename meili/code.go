package meili

import "net/http"

// Code names one kind of error, as it appears in the code member of every error body and at the end of its link.
type Code string

// The types of an error body.
const (
	typeInvalidRequest = "invalid_request"
	typeAuth           = "auth"
	typeInternal       = "internal"
	typeSystem         = "system"
)

// codeClass is what a code implies: the HTTP status and the type member.
type codeClass struct {
	status int
	kind   string
}

// Status is the HTTP status an error of this code is answered with unless a route says otherwise.
func (c Code) Status() int {
	if class, ok := codeClasses[c]; ok {
		return class.status
	}
	return http.StatusBadRequest
}

// Type is the type member of an error of this code.
func (c Code) Type() string {
	if class, ok := codeClasses[c]; ok {
		return class.kind
	}
	return typeInvalidRequest
}

// Link is the address of the documentation of this code.
func (c Code) Link() string { return "https://docs.meilisearch.com/errors#" + string(c) }

// Every code of Meilisearch v1.50, sorted by name.
const (
	CodeAPIKeyAlreadyExists                            Code = "api_key_already_exists"
	CodeAPIKeyNotFound                                 Code = "api_key_not_found"
	CodeBadParameter                                   Code = "bad_parameter"
	CodeBadRequest                                     Code = "bad_request"
	CodeBatchNotFound                                  Code = "batch_not_found"
	CodeChatNotFound                                   Code = "chat_not_found"
	CodeDatabaseSizeLimitReached                       Code = "database_size_limit_reached"
	CodeDocumentNotFound                               Code = "document_not_found"
	CodeDumpAlreadyProcessing                          Code = "dump_already_processing"
	CodeDumpNotFound                                   Code = "dump_not_found"
	CodeDumpProcessFailed                              Code = "dump_process_failed"
	CodeDuplicateIndexFound                            Code = "duplicate_index_found"
	CodeDynamicSearchRuleNotFound                      Code = "dynamic_search_rule_not_found"
	CodeEditDocumentsByFunctionError                   Code = "edit_documents_by_function_error"
	CodeFacetSearchDisabled                            Code = "facet_search_disabled"
	CodeFeatureNotEnabled                              Code = "feature_not_enabled"
	CodeImmutableAPIKeyActions                         Code = "immutable_api_key_actions"
	CodeImmutableAPIKeyCreatedAt                       Code = "immutable_api_key_created_at"
	CodeImmutableAPIKeyExpiresAt                       Code = "immutable_api_key_expires_at"
	CodeImmutableAPIKeyIndexes                         Code = "immutable_api_key_indexes"
	CodeImmutableAPIKeyKey                             Code = "immutable_api_key_key"
	CodeImmutableAPIKeyUID                             Code = "immutable_api_key_uid"
	CodeImmutableAPIKeyUpdatedAt                       Code = "immutable_api_key_updated_at"
	CodeImmutableIndexCreatedAt                        Code = "immutable_index_created_at"
	CodeImmutableIndexUpdatedAt                        Code = "immutable_index_updated_at"
	CodeImmutableWebhook                               Code = "immutable_webhook"
	CodeImmutableWebhookIsEditable                     Code = "immutable_webhook_is_editable"
	CodeImmutableWebhookUUID                           Code = "immutable_webhook_uuid"
	CodeImportTaskAlreadyReceived                      Code = "import_task_already_received"
	CodeImportTaskUnknownRemote                        Code = "import_task_unknown_remote"
	CodeImportTaskWithoutNetworkTask                   Code = "import_task_without_network_task"
	CodeInconsistentDocumentChangeHeaders              Code = "inconsistent_document_change_headers"
	CodeIndexAlreadyExists                             Code = "index_already_exists"
	CodeIndexCreationFailed                            Code = "index_creation_failed"
	CodeIndexNotFound                                  Code = "index_not_found"
	CodeIndexPrimaryKeyAlreadyExists                   Code = "index_primary_key_already_exists"
	CodeIndexPrimaryKeyMultipleCandidatesFound         Code = "index_primary_key_multiple_candidates_found"
	CodeIndexPrimaryKeyNoCandidateFound                Code = "index_primary_key_no_candidate_found"
	CodeIndexScopedAPIKeyWithGlobalAction              Code = "index_scoped_api_key_with_global_action"
	CodeInternal                                       Code = "internal"
	CodeInvalidAPIKey                                  Code = "invalid_api_key"
	CodeInvalidAPIKeyActions                           Code = "invalid_api_key_actions"
	CodeInvalidAPIKeyDescription                       Code = "invalid_api_key_description"
	CodeInvalidAPIKeyExpiresAt                         Code = "invalid_api_key_expires_at"
	CodeInvalidAPIKeyIndexes                           Code = "invalid_api_key_indexes"
	CodeInvalidAPIKeyLimit                             Code = "invalid_api_key_limit"
	CodeInvalidAPIKeyName                              Code = "invalid_api_key_name"
	CodeInvalidAPIKeyOffset                            Code = "invalid_api_key_offset"
	CodeInvalidAPIKeyUID                               Code = "invalid_api_key_uid"
	CodeInvalidBatchUIDs                               Code = "invalid_batch_uids"
	CodeInvalidChatCompletionAPIKey                    Code = "invalid_chat_completion_api_key"
	CodeInvalidChatCompletionAPIVersion                Code = "invalid_chat_completion_api_version"
	CodeInvalidChatCompletionBaseAPI                   Code = "invalid_chat_completion_base_api"
	CodeInvalidChatCompletionDeploymentID              Code = "invalid_chat_completion_deployment_id"
	CodeInvalidChatCompletionOrgID                     Code = "invalid_chat_completion_org_id"
	CodeInvalidChatCompletionPreQueryPrompt            Code = "invalid_chat_completion_pre_query_prompt"
	CodeInvalidChatCompletionProjectID                 Code = "invalid_chat_completion_project_id"
	CodeInvalidChatCompletionPrompts                   Code = "invalid_chat_completion_prompts"
	CodeInvalidChatCompletionSearchDescriptionPrompt   Code = "invalid_chat_completion_search_description_prompt"
	CodeInvalidChatCompletionSearchFilterParamPrompt   Code = "invalid_chat_completion_search_filter_param_prompt"
	CodeInvalidChatCompletionSearchIndexUIDParamPrompt Code = "invalid_chat_completion_search_index_uid_param_prompt"
	CodeInvalidChatCompletionSearchQueryParamPrompt    Code = "invalid_chat_completion_search_query_param_prompt"
	CodeInvalidChatCompletionSource                    Code = "invalid_chat_completion_source"
	CodeInvalidChatCompletionSystemPrompt              Code = "invalid_chat_completion_system_prompt"
	CodeInvalidChatSettingDocumentTemplate             Code = "invalid_chat_setting_document_template"
	CodeInvalidContentType                             Code = "invalid_content_type"
	CodeInvalidDocumentCSVDelimiter                    Code = "invalid_document_csv_delimiter"
	CodeInvalidDocumentEditionContext                  Code = "invalid_document_edition_context"
	CodeInvalidDocumentEditionFunctionFilter           Code = "invalid_document_edition_function_filter"
	CodeInvalidDocumentFields                          Code = "invalid_document_fields"
	CodeInvalidDocumentFilter                          Code = "invalid_document_filter"
	CodeInvalidDocumentGeoField                        Code = "invalid_document_geo_field"
	CodeInvalidDocumentGeojsonField                    Code = "invalid_document_geojson_field"
	CodeInvalidDocumentID                              Code = "invalid_document_id"
	CodeInvalidDocumentIDs                             Code = "invalid_document_ids"
	CodeInvalidDocumentLimit                           Code = "invalid_document_limit"
	CodeInvalidDocumentOffset                          Code = "invalid_document_offset"
	CodeInvalidDocumentRetrieveVectors                 Code = "invalid_document_retrieve_vectors"
	CodeInvalidDocumentSort                            Code = "invalid_document_sort"
	CodeInvalidDocumentUseNetwork                      Code = "invalid_document_use_network"
	CodeInvalidDynamicSearchRuleActions                Code = "invalid_dynamic_search_rule_actions"
	CodeInvalidDynamicSearchRuleActive                 Code = "invalid_dynamic_search_rule_active"
	CodeInvalidDynamicSearchRuleConditions             Code = "invalid_dynamic_search_rule_conditions"
	CodeInvalidDynamicSearchRuleDescription            Code = "invalid_dynamic_search_rule_description"
	CodeInvalidDynamicSearchRuleFilter                 Code = "invalid_dynamic_search_rule_filter"
	CodeInvalidDynamicSearchRuleFilterActive           Code = "invalid_dynamic_search_rule_filter_active"
	CodeInvalidDynamicSearchRuleFilterQuery            Code = "invalid_dynamic_search_rule_filter_query"
	CodeInvalidDynamicSearchRuleLimit                  Code = "invalid_dynamic_search_rule_limit"
	CodeInvalidDynamicSearchRuleOffset                 Code = "invalid_dynamic_search_rule_offset"
	CodeInvalidDynamicSearchRulePriority               Code = "invalid_dynamic_search_rule_priority"
	CodeInvalidExportAPIKey                            Code = "invalid_export_api_key"
	CodeInvalidExportIndexFilter                       Code = "invalid_export_index_filter"
	CodeInvalidExportIndexOverrideSettings             Code = "invalid_export_index_override_settings"
	CodeInvalidExportIndexesPatterns                   Code = "invalid_export_indexes_patterns"
	CodeInvalidExportPayloadSize                       Code = "invalid_export_payload_size"
	CodeInvalidExportURL                               Code = "invalid_export_url"
	CodeInvalidFacetSearchExhaustiveFacetCount         Code = "invalid_facet_search_exhaustive_facet_count"
	CodeInvalidFacetSearchFacetName                    Code = "invalid_facet_search_facet_name"
	CodeInvalidFacetSearchName                         Code = "invalid_facet_search_name"
	CodeInvalidFacetSearchQuery                        Code = "invalid_facet_search_query"
	CodeInvalidHeaderValue                             Code = "invalid_header_value"
	CodeInvalidIndexCustomMetadata                     Code = "invalid_index_custom_metadata"
	CodeInvalidIndexFieldsFilter                       Code = "invalid_index_fields_filter"
	CodeInvalidIndexFieldsFilterAttributePatterns      Code = "invalid_index_fields_filter_attribute_patterns"
	CodeInvalidIndexFieldsFilterDisplayed              Code = "invalid_index_fields_filter_displayed"
	CodeInvalidIndexFieldsFilterDistinct               Code = "invalid_index_fields_filter_distinct"
	CodeInvalidIndexFieldsFilterFilterable             Code = "invalid_index_fields_filter_filterable"
	CodeInvalidIndexFieldsFilterRankingRule            Code = "invalid_index_fields_filter_ranking_rule"
	CodeInvalidIndexFieldsFilterSearchable             Code = "invalid_index_fields_filter_searchable"
	CodeInvalidIndexFieldsFilterSortable               Code = "invalid_index_fields_filter_sortable"
	CodeInvalidIndexLimit                              Code = "invalid_index_limit"
	CodeInvalidIndexOffset                             Code = "invalid_index_offset"
	CodeInvalidIndexPrimaryKey                         Code = "invalid_index_primary_key"
	CodeInvalidIndexUID                                Code = "invalid_index_uid"
	CodeInvalidMultiSearchDistinct                     Code = "invalid_multi_search_distinct"
	CodeInvalidMultiSearchFacetOrder                   Code = "invalid_multi_search_facet_order"
	CodeInvalidMultiSearchFacets                       Code = "invalid_multi_search_facets"
	CodeInvalidMultiSearchFacetsByIndex                Code = "invalid_multi_search_facets_by_index"
	CodeInvalidMultiSearchFederated                    Code = "invalid_multi_search_federated"
	CodeInvalidMultiSearchFederationOptions            Code = "invalid_multi_search_federation_options"
	CodeInvalidMultiSearchMaxValuesPerFacet            Code = "invalid_multi_search_max_values_per_facet"
	CodeInvalidMultiSearchMergeFacets                  Code = "invalid_multi_search_merge_facets"
	CodeInvalidMultiSearchQueryFacets                  Code = "invalid_multi_search_query_facets"
	CodeInvalidMultiSearchQueryPagination              Code = "invalid_multi_search_query_pagination"
	CodeInvalidMultiSearchQueryPersonalization         Code = "invalid_multi_search_query_personalization"
	CodeInvalidMultiSearchQueryPosition                Code = "invalid_multi_search_query_position"
	CodeInvalidMultiSearchQueryRankingRules            Code = "invalid_multi_search_query_ranking_rules"
	CodeInvalidMultiSearchQueryShowPerformanceDetails  Code = "invalid_multi_search_query_show_performance_details"
	CodeInvalidMultiSearchRemote                       Code = "invalid_multi_search_remote"
	CodeInvalidMultiSearchWeight                       Code = "invalid_multi_search_weight"
	CodeInvalidNetworkLeader                           Code = "invalid_network_leader"
	CodeInvalidNetworkRemotes                          Code = "invalid_network_remotes"
	CodeInvalidNetworkSearchAPIKey                     Code = "invalid_network_search_api_key"
	CodeInvalidNetworkSelf                             Code = "invalid_network_self"
	CodeInvalidNetworkShards                           Code = "invalid_network_shards"
	CodeInvalidNetworkURL                              Code = "invalid_network_url"
	CodeInvalidNetworkWriteAPIKey                      Code = "invalid_network_write_api_key"
	CodeInvalidRenderInput                             Code = "invalid_render_input"
	CodeInvalidRenderTemplate                          Code = "invalid_render_template"
	CodeInvalidS3SnapshotParameters                    Code = "invalid_s_3_snapshot_parameters"
	CodeInvalidS3SnapshotRequest                       Code = "invalid_s_3_snapshot_request"
	CodeInvalidSearchAttributesToCrop                  Code = "invalid_search_attributes_to_crop"
	CodeInvalidSearchAttributesToHighlight             Code = "invalid_search_attributes_to_highlight"
	CodeInvalidSearchAttributesToRetrieve              Code = "invalid_search_attributes_to_retrieve"
	CodeInvalidSearchAttributesToSearchOn              Code = "invalid_search_attributes_to_search_on"
	CodeInvalidSearchCropLength                        Code = "invalid_search_crop_length"
	CodeInvalidSearchCropMarker                        Code = "invalid_search_crop_marker"
	CodeInvalidSearchDistinct                          Code = "invalid_search_distinct"
	CodeInvalidSearchEmbedder                          Code = "invalid_search_embedder"
	CodeInvalidSearchFacets                            Code = "invalid_search_facets"
	CodeInvalidSearchFilter                            Code = "invalid_search_filter"
	CodeInvalidSearchHighlightPostTag                  Code = "invalid_search_highlight_post_tag"
	CodeInvalidSearchHighlightPreTag                   Code = "invalid_search_highlight_pre_tag"
	CodeInvalidSearchHitsPerPage                       Code = "invalid_search_hits_per_page"
	CodeInvalidSearchHybridQuery                       Code = "invalid_search_hybrid_query"
	CodeInvalidSearchLimit                             Code = "invalid_search_limit"
	CodeInvalidSearchLocales                           Code = "invalid_search_locales"
	CodeInvalidSearchMatchingStrategy                  Code = "invalid_search_matching_strategy"
	CodeInvalidSearchMedia                             Code = "invalid_search_media"
	CodeInvalidSearchMediaAndVector                    Code = "invalid_search_media_and_vector"
	CodeInvalidSearchOffset                            Code = "invalid_search_offset"
	CodeInvalidSearchPage                              Code = "invalid_search_page"
	CodeInvalidSearchPersonalize                       Code = "invalid_search_personalize"
	CodeInvalidSearchPersonalizeUserContext            Code = "invalid_search_personalize_user_context"
	CodeInvalidSearchQ                                 Code = "invalid_search_q"
	CodeInvalidSearchRankingScoreThreshold             Code = "invalid_search_ranking_score_threshold"
	CodeInvalidSearchRetrieveVectors                   Code = "invalid_search_retrieve_vectors"
	CodeInvalidSearchSemanticRatio                     Code = "invalid_search_semantic_ratio"
	CodeInvalidSearchShowMatchesPosition               Code = "invalid_search_show_matches_position"
	CodeInvalidSearchShowPerformanceDetails            Code = "invalid_search_show_performance_details"
	CodeInvalidSearchShowRankingScore                  Code = "invalid_search_show_ranking_score"
	CodeInvalidSearchShowRankingScoreDetails           Code = "invalid_search_show_ranking_score_details"
	CodeInvalidSearchSort                              Code = "invalid_search_sort"
	CodeInvalidSearchUseNetwork                        Code = "invalid_search_use_network"
	CodeInvalidSearchVector                            Code = "invalid_search_vector"
	CodeInvalidSettingsDictionary                      Code = "invalid_settings_dictionary"
	CodeInvalidSettingsDisplayedAttributes             Code = "invalid_settings_displayed_attributes"
	CodeInvalidSettingsDistinctAttribute               Code = "invalid_settings_distinct_attribute"
	CodeInvalidSettingsEmbedders                       Code = "invalid_settings_embedders"
	CodeInvalidSettingsFacetSearch                     Code = "invalid_settings_facet_search"
	CodeInvalidSettingsFaceting                        Code = "invalid_settings_faceting"
	CodeInvalidSettingsFilterableAttributes            Code = "invalid_settings_filterable_attributes"
	CodeInvalidSettingsForeignKeys                     Code = "invalid_settings_foreign_keys"
	CodeInvalidSettingsIndexChat                       Code = "invalid_settings_index_chat"
	CodeInvalidSettingsLocalizedAttributes             Code = "invalid_settings_localized_attributes"
	CodeInvalidSettingsNonSeparatorTokens              Code = "invalid_settings_non_separator_tokens"
	CodeInvalidSettingsPagination                      Code = "invalid_settings_pagination"
	CodeInvalidSettingsPrefixSearch                    Code = "invalid_settings_prefix_search"
	CodeInvalidSettingsProximityPrecision              Code = "invalid_settings_proximity_precision"
	CodeInvalidSettingsRankingRules                    Code = "invalid_settings_ranking_rules"
	CodeInvalidSettingsSearchCutoffMS                  Code = "invalid_settings_search_cutoff_ms"
	CodeInvalidSettingsSearchableAttributes            Code = "invalid_settings_searchable_attributes"
	CodeInvalidSettingsSeparatorTokens                 Code = "invalid_settings_separator_tokens"
	CodeInvalidSettingsSortableAttributes              Code = "invalid_settings_sortable_attributes"
	CodeInvalidSettingsStopWords                       Code = "invalid_settings_stop_words"
	CodeInvalidSettingsSynonyms                        Code = "invalid_settings_synonyms"
	CodeInvalidSettingsTypoTolerance                   Code = "invalid_settings_typo_tolerance"
	CodeInvalidSimilarAttributesToRetrieve             Code = "invalid_similar_attributes_to_retrieve"
	CodeInvalidSimilarEmbedder                         Code = "invalid_similar_embedder"
	CodeInvalidSimilarFilter                           Code = "invalid_similar_filter"
	CodeInvalidSimilarID                               Code = "invalid_similar_id"
	CodeInvalidSimilarLimit                            Code = "invalid_similar_limit"
	CodeInvalidSimilarOffset                           Code = "invalid_similar_offset"
	CodeInvalidSimilarRankingScoreThreshold            Code = "invalid_similar_ranking_score_threshold"
	CodeInvalidSimilarRetrieveVectors                  Code = "invalid_similar_retrieve_vectors"
	CodeInvalidSimilarShowPerformanceDetails           Code = "invalid_similar_show_performance_details"
	CodeInvalidSimilarShowRankingScore                 Code = "invalid_similar_show_ranking_score"
	CodeInvalidSimilarShowRankingScoreDetails          Code = "invalid_similar_show_ranking_score_details"
	CodeInvalidSkipCreation                            Code = "invalid_skip_creation"
	CodeInvalidState                                   Code = "invalid_state"
	CodeInvalidStatsShowInternalDatabaseSizes          Code = "invalid_stats_show_internal_database_sizes"
	CodeInvalidStatsSizeFormat                         Code = "invalid_stats_size_format"
	CodeInvalidStoreFile                               Code = "invalid_store_file"
	CodeInvalidSwapDuplicateIndexFound                 Code = "invalid_swap_duplicate_index_found"
	CodeInvalidSwapIndexes                             Code = "invalid_swap_indexes"
	CodeInvalidSwapRename                              Code = "invalid_swap_rename"
	CodeInvalidTaskAfterEnqueuedAt                     Code = "invalid_task_after_enqueued_at"
	CodeInvalidTaskAfterFinishedAt                     Code = "invalid_task_after_finished_at"
	CodeInvalidTaskAfterStartedAt                      Code = "invalid_task_after_started_at"
	CodeInvalidTaskBeforeEnqueuedAt                    Code = "invalid_task_before_enqueued_at"
	CodeInvalidTaskBeforeFinishedAt                    Code = "invalid_task_before_finished_at"
	CodeInvalidTaskBeforeStartedAt                     Code = "invalid_task_before_started_at"
	CodeInvalidTaskCanceledBy                          Code = "invalid_task_canceled_by"
	CodeInvalidTaskFrom                                Code = "invalid_task_from"
	CodeInvalidTaskLimit                               Code = "invalid_task_limit"
	CodeInvalidTaskReverse                             Code = "invalid_task_reverse"
	CodeInvalidTaskStatuses                            Code = "invalid_task_statuses"
	CodeInvalidTaskTypes                               Code = "invalid_task_types"
	CodeInvalidTaskUIDs                                Code = "invalid_task_uids"
	CodeInvalidVectorDimensions                        Code = "invalid_vector_dimensions"
	CodeInvalidVectorsType                             Code = "invalid_vectors_type"
	CodeInvalidWebhookHeaders                          Code = "invalid_webhook_headers"
	CodeInvalidWebhookURL                              Code = "invalid_webhook_url"
	CodeInvalidWebhookUUID                             Code = "invalid_webhook_uuid"
	CodeInvalidWebhooks                                Code = "invalid_webhooks"
	CodeIOError                                        Code = "io_error"
	CodeMalformedPayload                               Code = "malformed_payload"
	CodeMaxFieldsLimitExceeded                         Code = "max_fields_limit_exceeded"
	CodeMissingAPIKeyActions                           Code = "missing_api_key_actions"
	CodeMissingAPIKeyExpiresAt                         Code = "missing_api_key_expires_at"
	CodeMissingAPIKeyIndexes                           Code = "missing_api_key_indexes"
	CodeMissingAuthorizationHeader                     Code = "missing_authorization_header"
	CodeMissingContentType                             Code = "missing_content_type"
	CodeMissingDocumentEditionFunction                 Code = "missing_document_edition_function"
	CodeMissingDocumentFilter                          Code = "missing_document_filter"
	CodeMissingDocumentID                              Code = "missing_document_id"
	CodeMissingFacetSearchFacetName                    Code = "missing_facet_search_facet_name"
	CodeMissingIndexUID                                Code = "missing_index_uid"
	CodeMissingMasterKey                               Code = "missing_master_key"
	CodeMissingNetworkURL                              Code = "missing_network_url"
	CodeMissingPayload                                 Code = "missing_payload"
	CodeMissingSearchHybrid                            Code = "missing_search_hybrid"
	CodeMissingSwapIndexes                             Code = "missing_swap_indexes"
	CodeMissingTaskFilters                             Code = "missing_task_filters"
	CodeNetworkVersionMismatch                         Code = "network_version_mismatch"
	CodeNetworkVersionTooOld                           Code = "network_version_too_old"
	CodeNoSpaceLeftOnDevice                            Code = "no_space_left_on_device"
	CodeNotFoundSimilarID                              Code = "not_found_similar_id"
	CodeNotLeader                                      Code = "not_leader"
	CodePayloadTooLarge                                Code = "payload_too_large"
	CodeReceiveImportFinishedUnknownRemote             Code = "receive_import_finished_unknown_remote"
	CodeRemoteBadRequest                               Code = "remote_bad_request"
	CodeRemoteBadResponse                              Code = "remote_bad_response"
	CodeRemoteCouldNotSendRequest                      Code = "remote_could_not_send_request"
	CodeRemoteInvalidAPIKey                            Code = "remote_invalid_api_key"
	CodeRemoteRemoteError                              Code = "remote_remote_error"
	CodeRemoteTimeout                                  Code = "remote_timeout"
	CodeRenderDocumentNotFound                         Code = "render_document_not_found"
	CodeRequiresEnterpriseEdition                      Code = "requires_enterprise_edition"
	CodeS3SnapshotServerError                          Code = "s_3_snapshot_server_error"
	CodeTaskFileNotFound                               Code = "task_file_not_found"
	CodeTaskNotFound                                   Code = "task_not_found"
	CodeTemplateParsingError                           Code = "template_parsing_error"
	CodeTemplateRenderingError                         Code = "template_rendering_error"
	CodeTooManyOpenFiles                               Code = "too_many_open_files"
	CodeTooManySearchRequests                          Code = "too_many_search_requests"
	CodeTooManyVectors                                 Code = "too_many_vectors"
	CodeUnexpectedNetworkPreviousRemotes               Code = "unexpected_network_previous_remotes"
	CodeUnimplementedExternalFunctionCalling           Code = "unimplemented_external_function_calling"
	CodeUnimplementedMultiChoiceChatCompletions        Code = "unimplemented_multi_choice_chat_completions"
	CodeUnimplementedNonStreamingChatCompletions       Code = "unimplemented_non_streaming_chat_completions"
	CodeUnknownRemote                                  Code = "unknown_remote"
	CodeUnprocessedNetworkTask                         Code = "unprocessed_network_task"
	CodeUnretrievableDocument                          Code = "unretrievable_document"
	CodeUnretrievableErrorCode                         Code = "unretrievable_error_code"
	CodeUnsupportedMediaType                           Code = "unsupported_media_type"
	CodeVectorEmbeddingError                           Code = "vector_embedding_error"
	CodeWebhookNotFound                                Code = "webhook_not_found"
)

// codeClasses lists the codes that are not a 400 of type invalid_request.
var codeClasses = map[Code]codeClass{
	CodeAPIKeyAlreadyExists:                      {http.StatusConflict, typeInvalidRequest},
	CodeAPIKeyNotFound:                           {http.StatusNotFound, typeInvalidRequest},
	CodeBatchNotFound:                            {http.StatusNotFound, typeInvalidRequest},
	CodeChatNotFound:                             {http.StatusNotFound, typeInvalidRequest},
	CodeDatabaseSizeLimitReached:                 {http.StatusInternalServerError, typeInternal},
	CodeDocumentNotFound:                         {http.StatusNotFound, typeInvalidRequest},
	CodeDumpAlreadyProcessing:                    {http.StatusConflict, typeInvalidRequest},
	CodeDumpNotFound:                             {http.StatusNotFound, typeInvalidRequest},
	CodeDumpProcessFailed:                        {http.StatusInternalServerError, typeInternal},
	CodeDynamicSearchRuleNotFound:                {http.StatusNotFound, typeInvalidRequest},
	CodeImportTaskAlreadyReceived:                {http.StatusPreconditionFailed, typeInvalidRequest},
	CodeImportTaskUnknownRemote:                  {http.StatusPreconditionFailed, typeInvalidRequest},
	CodeImportTaskWithoutNetworkTask:             {http.StatusServiceUnavailable, typeInvalidRequest},
	CodeIndexAlreadyExists:                       {http.StatusConflict, typeInvalidRequest},
	CodeIndexCreationFailed:                      {http.StatusInternalServerError, typeInternal},
	CodeIndexNotFound:                            {http.StatusNotFound, typeInvalidRequest},
	CodeInternal:                                 {http.StatusInternalServerError, typeInternal},
	CodeInvalidAPIKey:                            {http.StatusForbidden, typeAuth},
	CodeInvalidContentType:                       {http.StatusUnsupportedMediaType, typeInvalidRequest},
	CodeInvalidS3SnapshotParameters:              {http.StatusBadRequest, typeInternal},
	CodeInvalidS3SnapshotRequest:                 {http.StatusBadRequest, typeInternal},
	CodeInvalidState:                             {http.StatusInternalServerError, typeInternal},
	CodeInvalidStoreFile:                         {http.StatusInternalServerError, typeInternal},
	CodeIOError:                                  {http.StatusUnprocessableEntity, typeSystem},
	CodeMissingAuthorizationHeader:               {http.StatusUnauthorized, typeAuth},
	CodeMissingContentType:                       {http.StatusUnsupportedMediaType, typeInvalidRequest},
	CodeMissingMasterKey:                         {http.StatusUnauthorized, typeAuth},
	CodeNetworkVersionMismatch:                   {http.StatusPreconditionFailed, typeInvalidRequest},
	CodeNoSpaceLeftOnDevice:                      {http.StatusUnprocessableEntity, typeSystem},
	CodePayloadTooLarge:                          {http.StatusRequestEntityTooLarge, typeInvalidRequest},
	CodeReceiveImportFinishedUnknownRemote:       {http.StatusPreconditionFailed, typeInvalidRequest},
	CodeRemoteBadResponse:                        {http.StatusBadGateway, typeSystem},
	CodeRemoteCouldNotSendRequest:                {http.StatusBadGateway, typeSystem},
	CodeRemoteInvalidAPIKey:                      {http.StatusForbidden, typeAuth},
	CodeRemoteRemoteError:                        {http.StatusBadGateway, typeSystem},
	CodeRemoteTimeout:                            {http.StatusBadGateway, typeSystem},
	CodeRenderDocumentNotFound:                   {http.StatusNotFound, typeInvalidRequest},
	CodeRequiresEnterpriseEdition:                {http.StatusUnavailableForLegalReasons, typeInvalidRequest},
	CodeS3SnapshotServerError:                    {http.StatusBadGateway, typeInternal},
	CodeTaskFileNotFound:                         {http.StatusNotFound, typeInvalidRequest},
	CodeTaskNotFound:                             {http.StatusNotFound, typeInvalidRequest},
	CodeTooManyOpenFiles:                         {http.StatusUnprocessableEntity, typeSystem},
	CodeTooManySearchRequests:                    {http.StatusServiceUnavailable, typeSystem},
	CodeUnimplementedExternalFunctionCalling:     {http.StatusNotImplemented, typeInvalidRequest},
	CodeUnimplementedMultiChoiceChatCompletions:  {http.StatusNotImplemented, typeInvalidRequest},
	CodeUnimplementedNonStreamingChatCompletions: {http.StatusNotImplemented, typeInvalidRequest},
	CodeUnretrievableDocument:                    {http.StatusBadRequest, typeInternal},
	CodeUnsupportedMediaType:                     {http.StatusUnsupportedMediaType, typeInvalidRequest},
	CodeWebhookNotFound:                          {http.StatusNotFound, typeInvalidRequest},
}
